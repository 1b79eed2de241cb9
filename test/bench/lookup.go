package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/zeromicro/go-zero/core/discov"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/naming/endpoints"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// What the others do differently when a service is looked up.
const (
	asksEtcd   = "asks etcd at every lookup"
	zeroValues = "returns the stored strings, undecoded and the same slice to every caller"
	namingList = "asks etcd at every lookup, and returns the record as a map"
	noStore    = "nothing is shared with other processes"
)

// lookups measures looking up a service that has been looked up before.
func (r *run) lookups() error {
	for _, nodes := range []int{10, 1000} {
		if err := r.lookup(nodes); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) lookup(nodes int) error {
	name := fmt.Sprintf("lookup-%d", nodes)
	if err := r.seedAll(name, nodes); err != nil {
		return err
	}
	defer func() { _ = r.store.clear(r.ctx) }()
	competitors, end, err := r.lookupCompetitors(name, nodes)
	if err != nil {
		return err
	}
	defer end()
	title := fmt.Sprintf("GetService, %d nodes, followed", nodes)
	if err := r.compare(
		benchmark{id: fmt.Sprintf("get-%d", nodes), title: title, competitors: competitors, requests: true},
	); err != nil {
		return err
	}
	if nodes != 10 {
		return nil
	}
	for _, goroutines := range []int{1, 2, 8} {
		if err := r.compare(benchmark{
			id:          fmt.Sprintf("get-10-by-%d", goroutines),
			title:       fmt.Sprintf("GetService, 10 nodes, by %d goroutines", goroutines),
			competitors: competitors[:2], parallel: goroutines,
		}); err != nil {
			return err
		}
	}
	return nil
}

// seedAll puts a service where everybody finds it.
func (r *run) seedAll(name string, nodes int) error {
	if err := r.store.seed(r.ctx, name, nodes); err != nil {
		return err
	}
	return r.store.seedPeers(r.ctx, name, nodes)
}

// lookupCompetitors returns everybody who can look a service up, ours first and go-micro's memory registry second.
func (r *run) lookupCompetitors(name string, nodes int) (all []competitor, end func(), err error) {
	mine, err := openOurs(r.store.endpoint)
	if err != nil {
		return nil, nil, err
	}
	mem, err := openMemory(name, nodes)
	if err != nil {
		return nil, nil, err
	}
	sub, err := r.store.subscribe(name)
	if err != nil {
		return nil, nil, err
	}
	old, v5 := openPlugin(r.store.endpoint), openFive(r.store.endpoint)
	end = func() {
		closeAll(mine, old, v5)
		sub.Close()
	}
	return []competitor{
		{who: ours, op: find(ours, mine, name, nodes)},
		{who: memory, op: find(memory, mem, name, nodes), note: noStore},
		{who: zero, note: zeroValues, op: func(int) error { return want(zero, nodes, len(sub.Values())) }},
		{who: plugin, op: find(plugin, old, name, nodes), note: asksEtcd},
		{who: five, note: asksEtcd, op: func(int) error {
			found, err := v5.GetService(name)
			if err != nil {
				return err
			}
			return want(five, nodes, nodesOf5(found))
		}},
		{who: naming, op: r.store.listNaming(r.ctx, name, nodes), note: namingList},
		{who: bare, op: r.store.read(r.ctx, name, nodes), note: "one Range, and encoding/json"},
	}, end, nil
}

func find(who string, r registry.Registry, name string, nodes int) func(int) error {
	return func(int) error {
		found, err := r.GetService(name)
		if err != nil {
			return err
		}
		return want(who, nodes, nodesOf(found))
	}
}

func (s *store) listNaming(ctx context.Context, name string, nodes int) func(int) error {
	return func(int) error {
		m, err := endpoints.NewManager(s.client, namingPrefix+name)
		if err != nil {
			return err
		}
		found, err := m.List(ctx)
		if err != nil {
			return err
		}
		return want(naming, nodes, len(found))
	}
}

// read is the least that a lookup without a view can do: read the records and decode them.
func (s *store) read(ctx context.Context, name string, nodes int) func(int) error {
	return func(int) error {
		found, err := s.client.Get(ctx, microPrefix+name+"/", clientv3.WithPrefix())
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

// firstLookups measures the first lookup of a big service.
func (r *run) firstLookups() error {
	nodes := 10_000
	if r.quick {
		nodes = 100
	}
	const name = "first"
	if err := r.seedAll(name, nodes); err != nil {
		return err
	}
	defer func() { _ = r.store.clear(r.ctx) }()
	old := openPlugin(r.store.endpoint)
	lookOnce, forget := r.firstOurs(name, nodes)
	subscribe, unsubscribe := r.firstZero(name, nodes)
	return r.compare(benchmark{
		id:    "first-lookup",
		title: fmt.Sprintf("first lookup of a service of %d nodes", nodes),
		competitors: []competitor{
			{who: ours, most: 1, op: lookOnce, undo: forget},
			{who: bare, most: 1, op: r.store.read(r.ctx, name, nodes), note: "one Range, and encoding/json"},
			{who: plugin, most: 1, op: find(plugin, old, name, nodes), note: "every lookup is like the first"},
			{who: zero, most: 1, note: zeroValues, op: subscribe, undo: unsubscribe},
			{who: naming, most: 1, op: r.store.listNaming(r.ctx, name, nodes), note: namingList},
		},
	})
}

// firstOurs looks up with a new registry on the same connection that the bare client has.
func (r *run) firstOurs(name string, nodes int) (op func(int) error, undo func(int, int) error) {
	var latest *etcd.Registry
	return func(i int) (err error) {
			if latest, err = etcd.New(etcd.Client(r.store.client), registry.Timeout(patience)); err != nil {
				return err
			}
			return find(ours, latest, name, nodes)(i)
		}, func(int, int) error {
			return latest.Close()
		}
}

func (r *run) firstZero(name string, nodes int) (op func(int) error, undo func(int, int) error) {
	var latest *discov.Subscriber
	return func(int) (err error) {
			if latest, err = r.store.subscribe(name); err != nil {
				return err
			}
			return want(zero, nodes, len(latest.Values()))
		}, func(int, int) error {
			// One that is closed before its watch has begun leaves an entry without values, and the next one finds
			// that.
			defer latest.Close()
			return sleep(r.ctx, 100*time.Millisecond)
		}
}
