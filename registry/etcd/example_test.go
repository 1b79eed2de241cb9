package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"go-micro.dev/v4"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// A service that registers itself, and calls others through the registry's selector.
func ExampleNewRegistry() {
	r := etcd.NewRegistry(registry.Addrs("etcd-1:2379", "etcd-2:2379", "etcd-3:2379"))
	service := micro.NewService(
		micro.Name("greeter"),
		micro.Registry(r),
		micro.Selector(etcd.NewSelector(selector.Registry(r))),
		micro.RegisterTTL(30*time.Second),
		micro.RegisterInterval(10*time.Second),
	)
	if err := service.Run(); err != nil {
		log.Fatal(err)
	}
}

// New returns configuration errors at once.
func ExampleNew() {
	r, err := etcd.New(registry.Addrs("https://etcd:2379"), etcd.TLSFiles("ca.pem", "client.pem", "client-key.pem"))
	if err != nil {
		log.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			log.Print(err) // what couldn't be deregistered goes with its TTL
		}
	}()
}

// The password of a living registry changes. Registrations, views and watchers carry over.
func ExampleRegistry_Init() {
	r, err := etcd.New(etcd.Auth("greeter", "old"))
	if err != nil {
		log.Fatal(err)
	}
	if err := r.Init(etcd.Auth("greeter", "new")); err != nil {
		log.Print(err) // and the old one stays in use
	}
}

// A lookup followed by a watch misses nothing that happened in between.
func ExampleRegistry_Watch() {
	r, err := etcd.New()
	if err != nil {
		log.Fatal(err)
	}
	services, err := r.GetService("greeter")
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		log.Fatal(err)
	}
	fmt.Println(len(services), "versions")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w, err := r.Watch(registry.WatchService("greeter"), registry.WatchContext(ctx))
	if err != nil {
		log.Fatal(err)
	}
	for {
		change, err := w.Next()
		if errors.Is(err, registry.ErrWatcherStopped) {
			return
		}
		fmt.Println(change.Action, change.Service.Nodes[0].Id)
	}
}

// A lookup that asks etcd's leader, instead of the local view.
func ExampleLinearizable() {
	r, err := etcd.New()
	if err != nil {
		log.Fatal(err)
	}
	services, err := r.GetService("greeter", etcd.Linearizable())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(services), "versions")
}

// A selector that weighs nodes, and prefers those of its own zone.
func ExampleNewSelector() {
	r := etcd.NewRegistry()
	s := etcd.NewSelector(selector.Registry(r), etcd.Weighted(), etcd.PreferZone("eu-1a"))
	next, err := s.Select("greeter")
	if err != nil {
		log.Fatal(err)
	}
	node, err := next()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(node.Address)
}
