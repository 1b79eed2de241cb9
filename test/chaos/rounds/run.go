package rounds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/test/chaos/cluster"
)

// Result is what was seen in a round.
type Result struct {
	Round    *Round
	gaps     [][]gap // by provider
	outcomes []outcome
	Log      string // of the providers
}

// trial is one round while it goes on.
type trial struct {
	*Round
	cluster   *RelayedCluster
	prefix    string
	providers []*provider
	target    *cluster.Member
	others    []*cluster.Member
	direct    *clientv3.Client // of one of the others
}

// Run runs a round. It leaves the cluster as it was.
func (c *RelayedCluster) Run(ctx context.Context, r *Round) (v Result, err error) {
	t := &trial{Round: r, cluster: c, prefix: fmt.Sprintf("/rounds/%d/", r.Number)}
	defer func() { err = errors.Join(err, t.clear(ctx)) }()
	if t.target, t.others, err = c.pickTarget(ctx, r); err != nil {
		return v, err
	}
	if t.direct, err = c.etcd.Client(t.others[0]); err != nil {
		return v, err
	}
	c.setRTT(r.rtt)
	if err := t.open(ctx); err != nil {
		return v, err
	}
	v.Round = r
	err = t.run(ctx, &v)
	for _, p := range t.providers {
		v.Log += fmt.Sprintf("--- %s, TTL %v\n%s\n", p.name, p.plan.ttl, p.log.String())
	}
	return v, err
}

// open starts all providers, and puts the records that they will look up.
func (t *trial) open(ctx context.Context) error {
	plans := t.Round.providers
	for i := range plans {
		for _, name := range t.unknownNames(i) {
			if err := t.put(ctx, name); err != nil {
				return err
			}
		}
	}
	var all sync.WaitGroup
	t.providers = make([]*provider, len(plans))
	errs := make([]error, len(plans))
	for i, plan := range plans {
		all.Go(func() { t.providers[i], errs[i] = openProvider(t.cluster, plan, t.prefix, fmt.Sprint("p", i)) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// unknownNames are the services that one provider looks up during the fault.
func (t *trial) unknownNames(provider int) []string {
	var names []string
	for burst := range t.Round.providers[provider].bursts {
		names = append(names, fmt.Sprintf("unknown-%d-%d", provider, burst))
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
func (t *trial) run(ctx context.Context, v *Result) error {
	select {
	case <-time.After(t.before):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	var keys []string
	for _, p := range t.providers {
		keys = append(keys, p.keys()...)
	}
	w, err := watchGaps(ctx, t.direct, t.prefix, keys)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := t.cluster.inject(t.Round, t.target); err != nil {
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
		if err := t.heal(ctx); err != nil {
			return err
		}
	}
	gaps, err := w.end(ctx)
	v.gaps = t.attribute(gaps, began)
	return err
}

// afterwards is how long a round looks on after the repair.
const afterwards = 3 * time.Second

func (t *trial) heal(ctx context.Context) error {
	if err := t.cluster.heal(t.Round, t.target); err != nil {
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
		all.Go(func() { each[i] = p.call(ctx, t.unknownNames(i), t.others) })
	}
	all.Wait()
	var outcomes []outcome
	for _, o := range each {
		outcomes = append(outcomes, o...)
	}
	return outcomes
}

// attribute tells whose each gap is, and when it was after the fault.
func (t *trial) attribute(gaps []gap, began time.Time) [][]gap {
	sorted := make([][]gap, len(t.providers))
	for i, p := range t.providers {
		for _, k := range p.keys() {
			for _, g := range gaps {
				if g.key == k {
					g.after = g.at.Sub(began)
					sorted[i] = append(sorted[i], g)
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
	if t.target == nil {
		return nil
	}
	if err := errors.Join(t.cluster.heal(t.Round, t.target), t.cluster.awaitReady(ctx)); err != nil {
		return err
	}
	_, err := t.direct.Delete(ctx, t.prefix, clientv3.WithPrefix())
	return err
}
