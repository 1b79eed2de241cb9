package selector

import (
	"fmt"
	"os"
	"testing"

	"go-micro.dev/v4/logger"
	"go.uber.org/goleak"
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
	goleak.VerifyTestMain(m,
		goleak.IgnoreCurrent(), // go-micro's packages start goroutines when they are imported, and when a client is made
		goleak.IgnoreTopFunction("github.com/patrickmn/go-cache.(*janitor).Run"),
		goleak.IgnoreAnyFunction("net/http.(*conn).serve"),
	)
}
