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

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/registry/registrytest"
	"github.com/micro-etcd/micro-etcd/test/bench/report"
)

const (
	barePut   = report.BarePut
	bareGrant = report.BareGrant
)

// providers are the registries that register.
type providers struct {
	one, many *etcd.Registry // the latter with SharedLease
	old       registry.Registry
	five      registry5.Registry
}

// registers measures what a provider does.
func (r *run) registers() error {
	if err := r.provide(r.repeated); err != nil {
		return err
	}
	if err := r.provide(r.firstRegisters); err != nil {
		return err
	}
	if err := r.dense(); err != nil {
		return err
	}
	return r.nodes()
}

// provide opens the registries for some rows.
func (r *run) provide(rows func(providers) error) error {
	one, err := openOurs(r.store.endpoint)
	if err != nil {
		return err
	}
	many, err := openOurs(r.store.endpoint, etcd.SharedLease())
	if err != nil {
		return err
	}
	p := providers{one, many, openPlugin(r.store.endpoint), openFive(r.store.endpoint)}
	defer func() {
		shut(one, many)
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
	r.store, r.mark, r.remark = quick, "-unflushed", ", etcd not flushing"
	defer func() {
		r.store, r.mark, r.remark = flushing, "", ""
		quick.close()
	}()
	if err := r.provide(r.firstRegisters); err != nil {
		return err
	}
	return r.latencies()
}

// repeated is what go-micro's server does at every interval.
func (r *run) repeated(p providers) error {
	again := func(who string, to registry.Registry) entrant {
		s := service("again-"+fmt.Sprint(len(who)), 0)
		return entrant{who: who, op: func(int) error { return to.Register(s, registry.RegisterTTL(ttl)) }}
	}
	s5 := service5("again-five", 0)
	return r.hold(contest{
		id: "register-again", title: "Register, repeated and unchanged", requests: true, entrants: []entrant{
			again(ours, p.one), again(shared, p.many), again(plugin, p.old),
			{who: five, op: func(int) error { return p.five.Register(s5, registry5.RegisterTTL(ttl)) }},
		},
	})
}

func (r *run) firstRegisters(p providers) error {
	zeros := publishers{store: r.store}
	if err := p.many.Register(service("dense-already", 0), registry.RegisterTTL(ttl)); err != nil {
		return err // from now on its lease is there, as in a process of many nodes
	}
	fresh := func(who, name string, to registry.Registry) entrant {
		return entrant{
			who:  who,
			op:   func(i int) error { return to.Register(service(name, i), registry.RegisterTTL(ttl)) },
			undo: func(first, n int) error { return to.Deregister(service(name, upTo(first, n)...)) },
		}
	}
	return r.hold(contest{
		id: "register-first", title: "Register, a node that isn't there yet", requests: true, entrants: []entrant{
			fresh(ours, "fresh-one", p.one),
			r.freshGrant(),
			fresh(shared, "fresh-shared", p.many),
			{who: barePut, op: func(i int) error {
				_, err := r.store.client.Put(r.ctx, key("fresh-put", i), value("fresh-put", i, 0))
				return err
			}},
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
func (r *run) freshGrant() entrant {
	grants := leases{store: r.store}
	return entrant{who: bareGrant, undo: grants.revoke, op: func(i int) error {
		lease, err := grants.grant(r.ctx)
		if err != nil {
			return err
		}
		_, err = r.store.client.Put(r.ctx, key("fresh-bare", i), value("fresh-bare", i, 0), clientv3.WithLease(lease))
		return err
	}}
}

func (r *run) freshNaming() entrant {
	grants := leases{store: r.store}
	return entrant{who: naming, undo: grants.revoke, note: "the caller grants the lease and keeps it alive", op: func(i int) error {
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
	}}
}

// leases are those that a sample was granted, to be revoked after it.
type leases struct {
	store *store
	held  []clientv3.LeaseID
}

func (l *leases) grant(ctx context.Context) (clientv3.LeaseID, error) {
	granted, err := l.store.client.Grant(ctx, int64(ttl.Seconds()))
	if err != nil {
		return 0, err
	}
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
	many, err := openOurs(r.store.endpoint, etcd.SharedLease())
	if err != nil {
		return err
	}
	old := openPlugin(r.store.endpoint)
	defer shut(one, many, old)
	grants := leases{store: r.store}
	everybody := func(who, name string, to registry.Registry, do func(registry.Registry, *registry.Service) error) entrant {
		s := service(name, upTo(0, nodes)...)
		return entrant{
			who: who, most: 1,
			op:   func(int) error { return do(to, s) },
			undo: func(int, int) error { return to.Deregister(s) },
		}
	}
	inOne := func(to registry.Registry, s *registry.Service) error {
		return to.Register(s, registry.RegisterTTL(ttl))
	}
	return r.hold(contest{
		id: "dense", title: fmt.Sprintf("%d nodes of one process registered", nodes), requests: true, entrants: []entrant{
			everybody(shared, "dense-a", many, inOne),
			{who: bare, most: 1, undo: grants.revoke, op: r.batched(&grants, nodes), note: "a lease for each 512 nodes, transactions of 128 puts"},
			everybody(shared+", a call each", "dense-b", many, oneByOne),
			everybody(ours, "dense-c", one, inOne),
			everybody(plugin, "dense-d", old, inOne),
		},
	})
}

// batched does what SharedLease promises, with the bare client: as few leases and transactions as SharedLease would.
func (r *run) batched(grants *leases, nodes int) func(int) error {
	const perLease = 512
	services := make([]*registry.Service, nodes)
	for i := range services {
		services[i] = service("dense-bare", i)
	}
	return func(int) error {
		var lease clientv3.LeaseID
		for from := 0; from < nodes; from += perTxn {
			if from%perLease == 0 {
				var err error
				if lease, err = grants.grant(r.ctx); err != nil {
					return err
				}
			}
			if err := r.store.put(r.ctx, min(perTxn, nodes-from), func(i int) clientv3.Op {
				return clientv3.OpPut(key("dense-bare", from+i), encode(services[from+i]), clientv3.WithLease(lease))
			}); err != nil {
				return err
			}
		}
		return nil
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
