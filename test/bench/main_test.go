package main

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/micro-etcd/micro-etcd/test/leak"
)

// The tests start etcd as the program does: by running themselves.
func TestMain(m *testing.M) {
	if os.Getenv(serveEnv) == "" {
		leak.Verify(
			m,
			goleak.IgnoreTopFunction("github.com/zeromicro/go-zero/core/proc.init.1.func1"),
		) // importing a competitor starts it
		return
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
