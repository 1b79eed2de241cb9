// Micro-etcd shows what go-micro services have registered in etcd, mends it by hand, and says what
// is wrong. `micro-etcd help` lists its commands.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], streams{
		in:       os.Stdin,
		out:      os.Stdout,
		err:      os.Stderr,
		asks:     term.IsTerminal(int(os.Stdin.Fd())),
		progress: term.IsTerminal(int(os.Stderr.Fd())),
		password: func(ctx context.Context) ([]byte, error) { return readPassword(ctx, int(os.Stdin.Fd())) },
	})
	stop()
	os.Exit(code)
}
