// Micro-etcd shows what go-micro services have registered in etcd, mends it by hand, and says what is wrong.
// `micro-etcd help` lists its commands.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"go-micro.dev/v4/logger"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/iostreams"
)

// Go-micro's parts log to this one unless they are told otherwise.
func init() { logger.DefaultLogger = connect.NewLogger(io.Discard) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], iostreams.System())
	stop()
	os.Exit(code)
}
