// Datacenters greets the greeters of its own data center, and those of another one while there are none.
//
//	DATACENTERS="eu1=127.0.0.1:2379 us1=127.0.0.1:22379" go run ./examples/datacenters
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"go-micro.dev/v4"
	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/registry/federation"
)

// Request and Response are the greeter's. They travel as JSON.
type (
	Request  struct{ Name string }
	Response struct{ Greeting, Greeter string }
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "datacenters:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	members, end, err := open(os.Getenv("DATACENTERS"))
	defer func() { err = errors.Join(err, end()) }()
	if err != nil {
		return err
	}
	// The default is 30 s, which is long for somebody who watches a demo.
	r, err := federation.New(append(members, federation.Hold(5*time.Second))...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()

	service := micro.NewService(
		micro.Name("greeter.client"),
		micro.Registry(r),
		micro.Selector(etcd.NewSelector(selector.Registry(r))),
	)
	err = service.Client().Init(
		client.RequestTimeout(3*time.Second), // for a call with all its retries
		client.DialTimeout(time.Second),
		client.PoolTTL(time.Nanosecond), // examples/client says why, and why it retries
		client.Retry(client.RetryAlways),
	)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for ctx.Err() == nil {
		greet(ctx, service.Client())
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
	return nil
}

// open opens the registries of "eu1=address us1=address …", of which the first is the local one. end closes them.
func open(datacenters string) (members []federation.Option, end func() error, err error) {
	var opened []*etcd.Registry
	end = func() error {
		var errs []error
		for _, r := range opened {
			errs = append(errs, r.Close())
		}
		return errors.Join(errs...)
	}
	for i, text := range strings.Fields(datacenters) {
		name, addresses, _ := strings.Cut(text, "=")
		r, err := etcd.New(registry.Addrs(addresses))
		if err != nil {
			return nil, end, fmt.Errorf("%s: %w", text, err)
		}
		opened = append(opened, r)
		if i == 0 {
			members = append(members, federation.Local(name, r))
		} else {
			members = append(members, federation.Remote(name, r))
		}
	}
	return members, end, nil
}

func greet(ctx context.Context, c client.Client) {
	var rsp Response
	switch err := c.Call(ctx, c.NewRequest("greeter", "Greeter.Hello", &Request{Name: "Ada"}), &rsp); {
	case ctx.Err() != nil:
	case err != nil:
		fmt.Println("call failed:", merrors.Parse(err.Error()).Detail)
	default:
		fmt.Printf("%q from %s\n", rsp.Greeting, rsp.Greeter)
	}
}
