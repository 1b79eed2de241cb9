// Demo shows Go Micro services that find and call each other through etcd, one of them being killed, one being stopped,
// and a client that doesn't notice. Every step is checked by what the client printed and by what etcd holds.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	timeLimit = 50 * time.Second // for the story, without the build
	stepLimit = 20 * time.Second
)

var errInterrupted = errors.New("interrupted")

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo failed:", err)
		os.Exit(1)
	}
	fmt.Println("\nDone: no call failed, and nothing is left behind.")
}

func run() (err error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	go func() {
		<-signals
		cancel(errInterrupted)
	}()

	s, err := setUp(ctx, cancel)
	if err != nil {
		return err
	}
	defer func() {
		if interrupted := errors.Is(context.Cause(ctx), errInterrupted); interrupted {
			err = errInterrupted
		} else if err != nil {
			s.printEvidence()
		}
		err = errors.Join(err, s.tearDown())
	}()
	limited, release := context.WithTimeoutCause(ctx, timeLimit, fmt.Errorf("not finished within %v", timeLimit))
	defer release()
	return s.play(limited)
}

// play tells the story. Each chapter fails unless what it says really happened.
func (s *stage) play(ctx context.Context) error {
	chapters := []struct {
		title string
		play  func(context.Context) error
	}{
		{"Two greeters put themselves into etcd", s.greetersRegister},
		{"A client finds both and calls them", s.clientFindsBoth},
		{"Ann is killed: she can't say goodbye, but her lease runs out", s.annIsKilled},
		{"Cid joins, and the client hears of him", s.cidJoins},
		{"Bob is asked to stop: he says goodbye first", s.bobStops},
		{"Everybody goes home", s.allStop},
	}
	for i, c := range chapters {
		fmt.Printf("\n%d. %s\n", i+1, c.title)
		step, cancel := context.WithTimeoutCause(ctx, stepLimit, fmt.Errorf("nothing of the kind within %v", stepLimit))
		err := c.play(step)
		cancel()
		if err != nil {
			return fmt.Errorf("%q: %w", c.title, err)
		}
	}
	return nil
}
