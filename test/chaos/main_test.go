package chaos

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/micro-etcd/micro-etcd/test/chaos/process"
	"github.com/micro-etcd/micro-etcd/test/leak"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(process.SetupVariable); text != "" {
		os.Exit(process.Run(text))
	}
	known := leak.Known()
	code := m.Run()
	if err := scenarioReport.save(); err != nil {
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
