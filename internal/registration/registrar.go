package registration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
)

// Registrar holds the desired set: what this process wants to be in etcd.
type Registrar struct {
	*shared

	// Under mu.
	registrations map[string]*registration // by key
	tried         boundedSet[string]       // keys that were ever asked for: they stay guarded, whoever has them now
}

// New returns a registrar that desires nothing yet.
func New(c Config) *Registrar {
	return &Registrar{shared: newShared(c), registrations: make(map[string]*registration)}
}

// Register sets what some nodes of a service should be, and waits until etcd has them all. The context is only made
// when there is something to wait for.
func (r *Registrar) Register(
	bound func() (context.Context, context.CancelFunc), name string, o Offer, ttl time.Duration,
) error {
	seconds := roundUp(ttl)
	var waits []pending
	var errs []error
	for node := range o.Nodes() {
		p := r.desire(name, r.Keys.Node(name, o.ID(node)), node, o, seconds)
		switch {
		case !p.settled:
			waits = append(waits, p)
		case p.err != nil: // a repeat allocates nothing here
			errs = append(errs, registerError(p.key, p.err))
		}
	}
	if len(waits) > 0 {
		ctx, cancel := bound()
		defer cancel()
		for _, p := range waits {
			errs = append(errs, registerError(p.key, p.await(ctx)))
		}
	}
	return errors.Join(errs...)
}

func registerError(key string, err error) error {
	switch {
	case err == nil:
		return nil
	case !isRetriable(err):
		return fmt.Errorf("register %s: %w", key, err)
	}
	return fmt.Errorf("register %s: %w: %w", key, ErrPending, err)
}

// desire sets what should be at a key: the record of one of the nodes that are offered.
func (r *Registrar) desire(name, key string, node int, o Offer, seconds int64) pending {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return pending{key: key, settled: true, err: etcdconn.ErrClosed}
	}
	g := r.registrations[key]
	if g != nil {
		if d := g.repeated(node, o, seconds); d != nil {
			return g.set(d)
		}
	}
	record, err := o.Record(key, node)
	if err != nil {
		return pending{key: key, settled: true, err: err}
	}
	d := &desired{name: name, record: record, seconds: seconds}
	if g != nil {
		return g.set(d)
	}
	g = r.beginLocked(key)
	r.tried.add(key)
	p := g.set(d)
	r.start(g)
	return p
}

// beginLocked makes the registration of a key that has none, which is to be started.
func (r *Registrar) beginLocked(key string) *registration {
	g := newRegistration(r.shared, key, func() { delete(r.registrations, key) })
	r.registrations[key] = g
	return g
}

func (r *Registrar) start(g *registration) {
	r.Connector.Go(func() { g.run(r.Connector.Context) })
}

// Deregister removes nodes of a service: of this process's own ones only what is still ours, of others whatever is
// there.
func (r *Registrar) Deregister(ctx context.Context, name string, ids []string) error {
	results := make([]error, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		key := r.Keys.Node(name, id)
		wg.Go(func() {
			if err := r.release(ctx, name, key); err != nil {
				results[i] = fmt.Errorf("deregister %s: %w", key, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(results...)
}

func (r *Registrar) release(ctx context.Context, name, key string) error {
	r.mu.Lock()
	g := r.registrations[key]
	switch {
	case g != nil:
	case r.tried.has[key]:
		g = r.recoverLocked(key)
	default:
		r.mu.Unlock()
		return r.delete(ctx, key)
	}
	p := g.set(&desired{name: name})
	r.mu.Unlock()
	return p.await(ctx)
}

// recoverLocked takes up a key that was ours once, to remove what may be left there.
func (r *Registrar) recoverLocked(key string) *registration {
	g := r.beginLocked(key)
	g.cleanupOnly = true
	r.start(g)
	return g
}

// delete removes what is there of a node that this process never registered.
func (r *Registrar) delete(ctx context.Context, key string) error {
	if err := r.slots.Acquire(ctx, 1); err != nil {
		return r.Connector.Failure(ctx, err)
	}
	defer r.slots.Release(1)
	for {
		at, _, err := r.read(ctx, key)
		if err != nil || at.record == nil && at.notice == nil {
			return err
		}
		answer, err := etcdconn.Txn(ctx, r.Connector, func(t clientv3.Txn) clientv3.Txn {
			return t.If(r.unchanged(key, at)...).Then(clientv3.OpDelete(key), clientv3.OpDelete(r.Keys.Notice(key)))
		})
		if err != nil {
			return err
		}
		if answer.Succeeded {
			r.Deleted(key, answer.Header.Revision)
			return nil
		}
	}
}

// all returns the registrations, sorted by key.
func (r *Registrar) all() []*registration {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*registration, 0, len(r.registrations))
	for _, g := range r.registrations {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *registration) int { return cmp.Compare(a.key, b.key) })
	return all
}

// Resync makes every registration check its key and lease, and takes up what was once registered and isn't any
// more: a snapshot brings it back.
func (r *Registrar) Resync() {
	for _, g := range r.all() {
		g.suspectRollback(metrics.RestoreHistoryChanged)
	}
	r.recoverAll()
}

// recoverAll takes up what was once registered and isn't any more.
func (r *Registrar) recoverAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range r.tried.order {
		if r.registrations[key] == nil && !r.closed {
			r.recoverLocked(key)
		}
	}
}

// RetryNow makes every registration do at once what is left to do.
func (r *Registrar) RetryNow() {
	for _, g := range r.all() {
		g.wake.Send()
	}
}

// Reset makes every registration try again at another client, as if nothing had been tried before, and takes up what
// was once registered: it may still be at an etcd that was in use before.
func (r *Registrar) Reset() {
	for _, g := range r.all() {
		g.reset()
	}
	r.recoverAll()
}

// Close deregisters what is ours.
func (r *Registrar) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	var waits []pending
	for _, g := range r.all() {
		waits = append(waits, g.deregister())
	}
	var errs []error
	for _, p := range waits {
		if err := p.await(ctx); err != nil {
			errs = append(errs, fmt.Errorf("deregister %s: %w", p.key, err))
		}
	}
	return errors.Join(errs...)
}
