// Demo shows Go Micro services that find and call each other through etcd, one of them being killed, one being stopped,
// and a client that doesn't notice; and with the argument "failover" services in two data centers, one of which loses
// them. Every step is checked by what the client printed and by what etcd holds.
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
	timeLimit = 50 * time.Second // for all steps, without the build
	stepLimit = 20 * time.Second
)

var errInterrupted = errors.New("interrupted")

func main() {
	failover := len(os.Args) == 2 && os.Args[1] == "failover"
	if len(os.Args) > 1 && !failover {
		fmt.Fprintln(os.Stderr, "usage: demo [failover]")
		os.Exit(2)
	}
	if err := run(failover); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo failed:", err)
		os.Exit(1)
	}
	fmt.Println("\nDone: no call failed, and nothing is left behind.")
}

func run(failover bool) (err error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	go func() {
		<-signals
		cancel(errInterrupted)
	}()

	env, err := setUp(ctx, cancel)
	if err != nil {
		return err
	}
	defer func() {
		if interrupted := errors.Is(context.Cause(ctx), errInterrupted); interrupted {
			err = errInterrupted
		} else if err != nil {
			env.printEvidence()
		}
		err = errors.Join(err, env.tearDown())
	}()
	limited, release := context.WithTimeoutCause(ctx, timeLimit, fmt.Errorf("not finished within %v", timeLimit))
	defer release()
	if failover {
		return env.showFailover(limited)
	}
	return env.run(limited, []step{
		{"Two greeters put themselves into etcd", env.greetersRegister},
		{"A client finds both and calls them", env.clientFindsBoth},
		{"Ann is killed: she can't say goodbye, but her lease runs out", env.annIsKilled},
		{"Cid joins, and the client hears of him", env.cidJoins},
		{"Bob is asked to stop: he says goodbye first", env.bobStops},
		{"Everybody goes home", env.allStop},
	})
}

// step is something that is shown. It fails unless what it says really happened.
type step struct {
	title string
	run   func(context.Context) error
}

// run shows one step after the other.
func (env *environment) run(ctx context.Context, steps []step) error {
	for i, s := range steps {
		fmt.Printf("\n%d. %s\n", i+1, s.title)
		limited, cancel := context.WithTimeoutCause(ctx, stepLimit,
			fmt.Errorf("nothing of the kind within %v", stepLimit))
		err := s.run(limited)
		cancel()
		if err != nil {
			return fmt.Errorf("%q: %w", s.title, err)
		}
	}
	return nil
}
