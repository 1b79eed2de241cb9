package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// verdict is what was seen in a round.
type verdict struct {
	round    *round
	losses   [][]loss // by provider
	outcomes []outcome
	log      string // of the providers
}

// trial is one round while it goes on.
type trial struct {
	*round
	arena     *arena
	prefix    string
	providers []*provider
	victim    *member
	others    []*member
	direct    *clientv3.Client // of one of the others
}

// hold holds a round. It leaves the cluster as it was.
func (a *arena) hold(ctx context.Context, r *round) (v verdict, err error) {
	t := &trial{round: r, arena: a, prefix: fmt.Sprintf("/rounds/%d/", r.number)}
	defer func() { err = errors.Join(err, t.clear(ctx)) }()
	if t.victim, t.others, err = a.victim(ctx, r); err != nil {
		return v, err
	}
	if t.direct, err = a.cluster.direct(t.others[0]); err != nil {
		return v, err
	}
	a.trip(r.trip)
	if err := t.open(ctx); err != nil {
		return v, err
	}
	v.round = r
	err = t.run(ctx, &v)
	for _, p := range t.providers {
		v.log += fmt.Sprintf("--- %s, TTL %v\n%s\n", p.name, p.plan.ttl, p.log.String())
	}
	return v, err
}

// open starts all providers, and puts the records that they will look up.
func (t *trial) open(ctx context.Context) error {
	plans := t.round.providers
	for i := range plans {
		for _, name := range t.strangers(i) {
			if err := t.put(ctx, name); err != nil {
				return err
			}
		}
	}
	var all sync.WaitGroup
	t.providers = make([]*provider, len(plans))
	errs := make([]error, len(plans))
	for i, plan := range plans {
		all.Go(func() { t.providers[i], errs[i] = openProvider(t.arena, plan, t.prefix, fmt.Sprint("p", i)) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// strangers are the services that one provider looks up during the fault.
func (t *trial) strangers(provider int) []string {
	var names []string
	for burst := range t.round.providers[provider].bursts {
		names = append(names, fmt.Sprintf("stranger-%d-%d", provider, burst))
	}
	return names
}

func (t *trial) put(ctx context.Context, name string) error {
	value, err := json.Marshal(&registry.Service{
		Name: name, Version: "1", Nodes: []*registry.Node{{Id: "n0", Address: "10.0.0.1:80"}},
	})
	if err != nil {
		return err
	}
	_, err = t.direct.Put(ctx, t.prefix+name+"/n0", string(value))
	return err
}

// run is the fault, and what is seen meanwhile.
func (t *trial) run(ctx context.Context, v *verdict) error {
	select {
	case <-time.After(t.before):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	var keys []string
	for _, p := range t.providers {
		keys = append(keys, p.keys()...)
	}
	w, err := attend(ctx, t.direct, t.prefix, keys)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := t.arena.strike(t.round, t.victim); err != nil {
		return err
	}
	v.outcomes = t.call(ctx)
	select {
	case <-time.After(t.lasts() - time.Since(began)):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	// A leader that was stopped for longer than the TTL has all leases revoked when it goes on (etcd#15247).
	if t.fault != roundFreeze {
		if err := t.recover(ctx); err != nil {
			return err
		}
	}
	losses, err := w.end(ctx)
	v.losses = t.sort(losses, began)
	return err
}

// afterwards is how long a round looks on after the repair.
const afterwards = 3 * time.Second

func (t *trial) recover(ctx context.Context) error {
	if err := t.arena.repair(t.round, t.victim); err != nil {
		return err
	}
	select {
	case <-time.After(afterwards):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (t *trial) call(ctx context.Context) []outcome {
	var all sync.WaitGroup
	each := make([][]outcome, len(t.providers))
	for i, p := range t.providers {
		all.Go(func() { each[i] = p.call(ctx, t.strangers(i), t.others) })
	}
	all.Wait()
	var outcomes []outcome
	for _, o := range each {
		outcomes = append(outcomes, o...)
	}
	return outcomes
}

// sort tells whose each loss is, and when it was after the fault.
func (t *trial) sort(losses []loss, began time.Time) [][]loss {
	sorted := make([][]loss, len(t.providers))
	for i, p := range t.providers {
		for _, k := range p.keys() {
			for _, l := range losses {
				if l.key == k {
					l.after = l.at.Sub(began)
					sorted[i] = append(sorted[i], l)
				}
			}
		}
	}
	return sorted
}

// clear closes the providers, and makes the cluster what it was before the round.
func (t *trial) clear(ctx context.Context) error {
	var all sync.WaitGroup
	for _, p := range t.providers {
		if p != nil {
			all.Go(func() { _ = p.close() }) // the round says what Close promises; some are closed already
		}
	}
	all.Wait()
	if t.victim == nil {
		return nil
	}
	if err := errors.Join(t.arena.repair(t.round, t.victim), t.arena.whole(ctx)); err != nil {
		return err
	}
	_, err := t.direct.Delete(ctx, t.prefix, clientv3.WithPrefix())
	return err
}
