package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/zeromicro/go-zero/core/discov"
	"go-micro.dev/v4/registry"
	registry5 "go-micro.dev/v5/registry"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
	"golang.org/x/sync/errgroup"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/registry/registrytest"
	"github.com/micro-etcd/micro-etcd/test/bench/report"
)

const bareGrant = report.BareGrant

// providers are the registries that register.
type providers struct {
	one  *etcd.Registry
	old  registry.Registry
	five registry5.Registry
}

// registers measures what a provider does.
func (r *run) registers() error {
	if err := r.provide(r.repeated); err != nil {
		return err
	}
	if err := r.provide(r.firstRegisters); err != nil {
		return err
	}
	return r.dense()
}

// provide opens the registries for some rows.
func (r *run) provide(rows func(providers) error) error {
	one, err := openOurs(r.store.endpoint)
	if err != nil {
		return err
	}
	p := providers{one, openPlugin(r.store.endpoint), openFive(r.store.endpoint)}
	defer func() {
		closeAll(one)
		_ = r.store.clear(r.ctx)
	}()
	return rows(p)
}

// unflushed measures once more what depends on the disk, without it: what is left is the clients' and etcd's own time.
func (r *run) unflushed() error {
	flushing := r.store
	quick, err := openStore(unflushed)
	if err != nil {
		return err
	}
	r.store, r.idSuffix, r.titleSuffix = quick, "-unflushed", ", etcd not flushing"
	defer func() {
		r.store, r.idSuffix, r.titleSuffix = flushing, "", ""
		quick.close()
	}()
	if err := r.provide(r.firstRegisters); err != nil {
		return err
	}
	return r.latencies()
}

// repeated is what go-micro's server does at every interval.
func (r *run) repeated(p providers) error {
	again := func(who string, to registry.Registry) competitor {
		s := service("again-"+fmt.Sprint(len(who)), 0)
		return competitor{who: who, op: func(int) error { return to.Register(s, registry.RegisterTTL(ttl)) }}
	}
	s5 := service5("again-five", 0)
	return r.compare(benchmark{
		id: "register-again", title: "Register, repeated and unchanged", requests: true, competitors: []competitor{
			again(ours, p.one), again(plugin, p.old),
			{who: five, op: func(int) error { return p.five.Register(s5, registry5.RegisterTTL(ttl)) }},
		},
	})
}

func (r *run) firstRegisters(p providers) error {
	zeros := publishers{store: r.store}
	fresh := func(who, name string, to registry.Registry) competitor {
		return competitor{
			who:  who,
			op:   func(i int) error { return to.Register(service(name, i), registry.RegisterTTL(ttl)) },
			undo: func(first, n int) error { return to.Deregister(service(name, upTo(first, n)...)) },
		}
	}
	return r.compare(benchmark{
		id: "register-first", title: "Register, a node that isn't there yet", requests: true, competitors: []competitor{
			fresh(ours, "fresh-one", p.one),
			r.freshGrant(),
			fresh(plugin, "fresh-old", p.old),
			{
				who:  five,
				op:   func(i int) error { return p.five.Register(service5("fresh-five", i), registry5.RegisterTTL(ttl)) },
				undo: func(first, n int) error { return p.five.Deregister(service5("fresh-five", upTo(first, n)...)) },
				note: "leaves its lease behind at each Deregister, renewed for ever",
			},
			{who: zero, op: zeros.publish, undo: zeros.stop, note: "its TTL is 10 s and can't be changed"},
			r.freshNaming(),
		},
	})
}

// freshGrant is the least that a registration with a lease needs.
func (r *run) freshGrant() competitor {
	grants := leases{store: r.store}
	return competitor{who: bareGrant, undo: grants.revoke, op: func(i int) error {
		lease, err := grants.grant(r.ctx)
		if err != nil {
			return err
		}
		_, err = r.store.client.Put(r.ctx, key("fresh-bare", i), value("fresh-bare", i, 0), clientv3.WithLease(lease))
		return err
	}}
}

func (r *run) freshNaming() competitor {
	grants := leases{store: r.store}
	return competitor{
		who:  naming,
		undo: grants.revoke,
		note: "the caller grants the lease and keeps it alive",
		op: func(i int) error {
			lease, err := grants.grant(r.ctx)
			if err != nil {
				return err
			}
			manager, err := endpoints.NewManager(r.store.client, namingPrefix+"fresh")
			if err != nil {
				return err
			}
			n := registrytest.TypicalNode("fresh", i)
			return manager.AddEndpoint(r.ctx, fmt.Sprintf("%sfresh/%d", namingPrefix, i),
				endpoints.Endpoint{Addr: n.Address, Metadata: service("fresh", i)}, clientv3.WithLease(lease))
		},
	}
}

// leases are those that a sample was granted, to be revoked after it.
type leases struct {
	store *store
	mu    sync.Mutex
	held  []clientv3.LeaseID
}

func (l *leases) grant(ctx context.Context) (clientv3.LeaseID, error) {
	granted, err := l.store.client.Grant(ctx, int64(ttl.Seconds()))
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = append(l.held, granted.ID)
	return granted.ID, nil
}

func (l *leases) revoke(int, int) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	for _, id := range l.held {
		if _, err := l.store.client.Revoke(ctx, id); err != nil {
			return err
		}
	}
	l.held = nil
	return nil
}

// publishers are go-zero's providers.
type publishers struct {
	store *store
	all   []*discov.Publisher
}

func (p *publishers) publish(i int) error {
	one := discov.NewPublisher([]string{p.store.endpoint}, zeroPrefix+"fresh", value("fresh", i, 0))
	p.all = append(p.all, one)
	return one.KeepAlive()
}

func (p *publishers) stop(int, int) error {
	for _, one := range p.all {
		one.Stop()
	}
	p.all = nil
	return nil
}

// dense measures a process with a thousand nodes.
func (r *run) dense() error {
	nodes := 1000
	if r.quick {
		nodes = 20
	}
	one, err := openOurs(r.store.endpoint)
	if err != nil {
		return err
	}
	old := openPlugin(r.store.endpoint)
	defer closeAll(one, old)
	grants := leases{store: r.store}
	type registerAll = func(registry.Registry, *registry.Service) error
	everybody := func(who, name string, to registry.Registry, do registerAll) competitor {
		s := service(name, upTo(0, nodes)...)
		return competitor{
			who: who, most: 1,
			op:   func(int) error { return do(to, s) },
			undo: func(int, int) error { return to.Deregister(s) },
		}
	}
	inOne := func(to registry.Registry, s *registry.Service) error {
		return to.Register(s, registry.RegisterTTL(ttl))
	}
	return r.compare(benchmark{
		id:       "dense",
		title:    fmt.Sprintf("%d nodes of one process registered", nodes),
		requests: true,
		competitors: []competitor{
			everybody(ours, "dense-a", one, inOne),
			{
				who:  bare,
				most: 1,
				undo: grants.revoke,
				op:   r.bareDense(&grants, nodes),
				note: fmt.Sprintf("a lease and a put for each node, %d at a time", inFlight),
			},
			everybody(ours+", a call each", "dense-b", one, oneByOne),
			everybody(plugin, "dense-c", old, inOne),
		},
	})
}

// inFlight is how many registrations of a process talk to etcd at one time.
const inFlight = 64

// bareDense does with the bare client what a registration with a lease needs at least, with as many in flight as ours.
func (r *run) bareDense(grants *leases, nodes int) func(int) error {
	values := make([]string, nodes)
	for i := range values {
		values[i] = value("dense-bare", i, 0)
	}
	return func(int) error {
		var all errgroup.Group
		all.SetLimit(inFlight)
		for i := range nodes {
			all.Go(func() error {
				lease, err := grants.grant(r.ctx)
				if err != nil {
					return err
				}
				_, err = r.store.client.Put(r.ctx, key("dense-bare", i), values[i], clientv3.WithLease(lease))
				return err
			})
		}
		return all.Wait()
	}
}

// oneByOne registers each node by a call of its own, all at once, as a thousand servers in one process do.
func oneByOne(to registry.Registry, s *registry.Service) error {
	var all sync.WaitGroup
	errs := make(chan error, len(s.Nodes))
	for _, n := range s.Nodes {
		one := *s
		one.Nodes = []*registry.Node{n}
		all.Go(func() { errs <- to.Register(&one, registry.RegisterTTL(ttl)) })
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
