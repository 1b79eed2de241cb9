// Greeter is a Go Micro service that is found through etcd.
//
// Start as many as you like; every one picks a free port and an id of its own:
//
//	go run ./examples/greeter --registry_address=127.0.0.1:2379
package main

import (
	"context"
	"fmt"
	"os"

	"go-micro.dev/v4"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// Request and Response travel as JSON, which is what Go Micro clients send unless told otherwise.
type (
	Request  struct{ Name string }
	Response struct{ Greeting, Greeter string }
)

// Greeter's exported methods of this shape are what the service offers.
type Greeter struct{ id string }

// Hello greets whoever asks.
func (g *Greeter) Hello(_ context.Context, req *Request, rsp *Response) error {
	rsp.Greeting, rsp.Greeter = "Hello "+req.Name, g.id
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "greeter:", err)
		os.Exit(1)
	}
}

func run() error {
	service := micro.NewService(
		micro.Name("greeter"),
		micro.Registry(etcd.NewRegistry()), // the only line that knows about etcd
	)
	service.Init() // reads flags and MICRO_* variables: --help lists them

	self := service.Server().Options()
	id := self.Name + "-" + self.Id // the last part of the service's key in etcd
	if err := micro.RegisterHandler(service.Server(), &Greeter{id: id}); err != nil {
		return err
	}

	// Run registers the service, serves, and on SIGTERM or Ctrl-C deregisters it before it returns.
	fmt.Println(id, "starts")
	if err := service.Run(); err != nil {
		return err
	}
	fmt.Println(id, "stopped")
	return nil
}
