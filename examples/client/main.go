// Client finds the greeters through etcd and greets them until it is told to stop.
//
//	go run ./examples/client --registry_address=127.0.0.1:2379
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go-micro.dev/v4"
	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

const greeter = "greeter"

// Request and Response are the greeter's. They travel as JSON.
type (
	Request  struct{ Name string }
	Response struct{ Greeting, Greeter string }
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

func run() error {
	service := micro.NewService(
		micro.Name("greeter.client"),
		micro.Registry(etcd.NewRegistry()), // the only line that knows about etcd
	)
	err := service.Client().Init(
		client.RequestTimeout(3*time.Second), // for a call with all its retries
		client.DialTimeout(time.Second),
		// Go Micro v4.11.0 loses an answer now and then on a connection that it reuses. This makes a new one for each
		// call.
		client.PoolTTL(time.Nanosecond),
		// A greeter that was just killed refuses connections, which Go Micro doesn't retry by itself. Retry everything
		// only if, like a greeting, a call may safely happen twice.
		client.Retry(client.RetryAlways),
	)
	if err != nil {
		return err
	}
	service.Init() // reads flags and MICRO_* variables: --help lists them

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go report(ctx, service.Options().Registry)
	greet(ctx, service.Client())
	return nil
}

// greet calls twice a second. A failed call is no reason to give up: the next one may find another greeter.
func greet(ctx context.Context, c client.Client) {
	// Every try goes to the next greeter, so that a retry doesn't ask the same one again.
	roundRobin := client.WithSelectOption(selector.WithStrategy(selector.RoundRobin))
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		var rsp Response
		err := c.Call(ctx, c.NewRequest(greeter, "Greeter.Hello", &Request{Name: "Ada"}), &rsp, roundRobin)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			fmt.Println("call failed:", merrors.Parse(err.Error()).Detail)
		default:
			fmt.Printf("%q from %s\n", rsp.Greeting, rsp.Greeter)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// report prints who is there, and then who comes and who goes, as the registry tells it. It watches first and looks
// then, so that it misses nobody in between.
func report(ctx context.Context, reg registry.Registry) {
	watcher, err := reg.Watch(registry.WatchService(greeter))
	if err != nil {
		fmt.Println("can't watch:", err)
		return
	}
	defer context.AfterFunc(ctx, watcher.Stop)()
	there, err := reg.GetService(greeter)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		fmt.Println("can't look up:", err)
	}
	for _, service := range there {
		show("found", service)
	}
	for {
		change, err := watcher.Next()
		if errors.Is(err, registry.ErrWatcherStopped) {
			return
		}
		if err != nil {
			fmt.Println("watch ended:", err)
			return
		}
		show(change.Action, change.Service)
	}
}

func show(what string, service *registry.Service) {
	for _, node := range service.Nodes {
		fmt.Printf("registry: %s %s at %s\n", what, node.Id, node.Address)
	}
}
