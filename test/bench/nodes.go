package main

import (
	"errors"
	"fmt"
	"sync"

	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/test/bench/report"
)

// nodes measures a process with a thousand nodes beside what etcd itself needs for them: a grant and a put each.
func (r *run) nodes() error {
	n := 1000
	if r.quick {
		n = 20
	}
	one, err := openOurs(r.store.endpoint)
	if err != nil {
		return err
	}
	defer shut(one)
	register := func(who, name string, do func(registry.Registry, *registry.Service) error) entrant {
		s := service(name, upTo(0, n)...)
		return entrant{
			who: who, most: 1,
			op:   func(int) error { return do(one, s) },
			undo: func(int, int) error { return one.Deregister(s) },
		}
	}
	held := make([]clientv3.LeaseID, n)
	return r.hold(contest{
		id: "nodes", title: fmt.Sprintf("%d nodes of one process registered, a lease each", n), requests: true, entrants: []entrant{
			register(ours, "nodes-a", func(to registry.Registry, s *registry.Service) error {
				return to.Register(s, registry.RegisterTTL(ttl))
			}),
			{who: report.BareGrant, most: 1, op: r.grantAll(held), undo: r.revokeAll(held), note: "all in flight at a time, as ours are"},
			register(ours+", a call each", "nodes-b", oneByOne),
		},
	})
}

// grantAll grants a lease for each node and puts its record, all at the same time.
func (r *run) grantAll(held []clientv3.LeaseID) func(int) error {
	values := make([]string, len(held))
	for i := range values {
		values[i] = value("nodes-bare", i, 0)
	}
	return func(int) error {
		return together(len(held), func(i int) error {
			granted, err := r.store.client.Grant(r.ctx, int64(ttl.Seconds()))
			if err != nil {
				return err
			}
			held[i] = granted.ID
			_, err = r.store.client.Put(r.ctx, key("nodes-bare", i), values[i], clientv3.WithLease(granted.ID))
			return err
		})
	}
}

func (r *run) revokeAll(held []clientv3.LeaseID) func(int, int) error {
	return func(int, int) error {
		return together(len(held), func(i int) error {
			_, err := r.store.client.Revoke(r.ctx, held[i])
			return err
		})
	}
}

// together does n things at the same time.
func together(n int, do func(int) error) error {
	var all sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		all.Go(func() { errs[i] = do(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}
