package selector

import (
	"fmt"
	"os"
	"testing"

	"go-micro.dev/v4/logger"

	"github.com/micro-etcd/micro-etcd/test/leak"
)

// TestMain runs the tests, or in a child process a greeter.
func TestMain(m *testing.M) {
	logger.DefaultLogger = logger.NewLogger(logger.WithLevel(logger.FatalLevel)) // failed calls are what this is about
	if os.Getenv(greeterVariable) != "" {
		if err := serve(); err != nil {
			fmt.Fprintln(os.Stderr, "greeter:", err)
			os.Exit(1)
		}
		return
	}
	leak.Verify(m)
}
