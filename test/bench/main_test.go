package main

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// ofImports are the goroutines that importing the competitors starts.
var ofImports = []goleak.Option{
	goleak.IgnoreTopFunction("github.com/patrickmn/go-cache.(*janitor).Run"),
	goleak.IgnoreTopFunction("github.com/zeromicro/go-zero/core/proc.init.1.func1"),
	goleak.IgnoreAnyFunction("go-micro.dev/v4/config.(*config).run"),
	goleak.IgnoreAnyFunction("go-micro.dev/v4/config.(*config).run.func2"),
	goleak.IgnoreAnyFunction("go-micro.dev/v4/config/loader/memory.(*memory).Watch.func1"),
}

// The tests start etcd as the program does: by running themselves.
func TestMain(m *testing.M) {
	if os.Getenv(serveEnv) == "" {
		goleak.VerifyTestMain(m, ofImports...)
		return
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
