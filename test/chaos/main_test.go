package chaos

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/micro-etcd/micro-etcd/test/leak"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(setupVariable); text != "" {
		os.Exit(runService(text))
	}
	known := leak.Known()
	code := m.Run()
	if err := measured.report(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	if code == 0 {
		if err := goleak.Find(known...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
