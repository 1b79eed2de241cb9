// V5 is a process with the etcd registry that go-micro v5 has in its own tree.
package main

import (
	"encoding/json"
	"time"

	"go-micro.dev/v5/registry"
	"go-micro.dev/v5/registry/etcd"

	"github.com/micro-etcd/micro-etcd/test/interop/peers/agent"
)

func main() { agent.Run(peer{etcd.NewEtcdRegistry()}) }

type peer struct{ registry registry.Registry }

func (p peer) Register(service json.RawMessage, ttl time.Duration) error {
	var s *registry.Service
	if err := json.Unmarshal(service, &s); err != nil {
		return err
	}
	return p.registry.Register(s, registry.RegisterTTL(ttl))
}

func (p peer) Deregister(service json.RawMessage) error {
	var s *registry.Service
	if err := json.Unmarshal(service, &s); err != nil {
		return err
	}
	return p.registry.Deregister(s)
}

func (p peer) GetService(name string) (any, error) { return p.registry.GetService(name) }

func (p peer) ListServices() (any, error) { return p.registry.ListServices() }

func (p peer) Watch(name string) (func() (any, error), error) {
	var opts []registry.WatchOption
	if name != "" {
		opts = append(opts, registry.WatchService(name))
	}
	w, err := p.registry.Watch(opts...)
	if err != nil {
		return nil, err
	}
	return func() (any, error) { return w.Next() }, nil
}

func (p peer) Serve(string, string, string, time.Duration) error { return agent.ErrNoRPC }

func (p peer) Stop() error { return agent.ErrNoRPC }

func (p peer) Call(string) (any, error) { return nil, agent.ErrNoRPC }
