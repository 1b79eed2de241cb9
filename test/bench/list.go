package main

import (
	"context"
	"encoding/json"
	"fmt"

	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// lists measures listing everything. It needs a store with nothing else in it.
func (r *run) lists() error {
	services, nodes := 1000, 10
	if r.quick {
		services = 10
	}
	defer func() { _ = r.store.clear(r.ctx) }()
	if err := r.store.seedMany(r.ctx, services, nodes); err != nil {
		return err
	}
	mine, err := openOurs(r.store.endpoint)
	if err != nil {
		return err
	}
	watching, err := openOurs(r.store.endpoint)
	if err != nil {
		return err
	}
	all, err := watching.Watch()
	if err != nil {
		return err
	}
	defer all.Stop()
	old, v5 := openPlugin(r.store.endpoint), openFive(r.store.endpoint)
	defer closeAll(mine, watching, old, v5)
	total := services * nodes
	return r.compare(benchmark{
		id:       "list",
		title:    fmt.Sprintf("ListServices, %d services of %d nodes", services, nodes),
		requests: true,
		competitors: []competitor{
			{who: followAll, op: list(followAll, watching, total)},
			{who: ours, op: list(ours, mine, total), note: "asks etcd, because nobody watches everything"},
			{who: plugin, op: list(plugin, old, total), note: asksEtcd},
			{who: five, note: asksEtcd, op: func(int) error {
				found, err := v5.ListServices()
				if err != nil {
					return err
				}
				return want(five, total, nodesOf5(found))
			}},
			{who: bare, op: r.readAll(total), note: "one Range, and encoding/json"},
		},
	})
}

func list(who string, of registry.Registry, nodes int) func(int) error {
	return func(int) error {
		found, err := of.ListServices()
		if err != nil {
			return err
		}
		return want(who, nodes, nodesOf(found))
	}
}

func (r *run) readAll(nodes int) func(int) error {
	return func(int) error {
		found, err := r.store.client.Get(r.ctx, microPrefix, clientv3.WithPrefix())
		if err != nil {
			return err
		}
		services := make([]*registry.Service, len(found.Kvs))
		for i, kv := range found.Kvs {
			if err := json.Unmarshal(kv.Value, &services[i]); err != nil {
				return err
			}
		}
		return want(bare, nodes, nodesOf(services))
	}
}

func (s *store) seedMany(ctx context.Context, services, nodes int) error {
	for i := range services {
		if err := s.seed(ctx, fmt.Sprintf("list-%d", i), nodes); err != nil {
			return err
		}
	}
	return nil
}
