package etcd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/registry/catalogue"
)

// maxTried bounds the keys that a registrar remembers to have had: those stay guarded
// against a late or repeated Deregister after somebody else took them.
const maxTried = 4096

// registrar holds the desired set: what this process wants to be in etcd.
type registrar struct {
	connector *connector
	keys      keyspace
	timeout   func() time.Duration
	leases    *leases
	batch     *batch
	sentries  *sentries
	log       func() log
	metrics   *metrics
	wrote     func(key string, revision int64, value []byte) // value nil: deleted
	alarm     func()                                         // etcd's history may be another one; doesn't block
	tries     chan struct{}                                  // has a token for each registration that talks to etcd

	mu            sync.Mutex
	registrations map[string]*registration // by key
	tried         map[string]bool
	triedOrder    []string // the oldest first
	closed        bool     // nothing more is registered

	cleaning atomic.Bool
}

// register wishes for every node of the service and waits until etcd has them all. The
// context is only made when there is something to wait for.
func (r *registrar) register(bound func() (context.Context, context.CancelFunc), s *registry.Service, ttl time.Duration) error {
	began := time.Now()
	seconds := roundUp(ttl)
	type pending struct {
		g *registration
		w *wish
	}
	var waits []pending
	var errs []error
	for _, node := range s.Nodes {
		key := r.keys.node(s.Name, node.Id)
		g, w, settled, err := r.wish(key, s, node, seconds)
		if settled {
			errs = append(errs, registerError(key, err))
		} else {
			waits = append(waits, pending{g, w})
		}
	}
	if len(waits) > 0 {
		ctx, cancel := bound()
		defer cancel()
		for _, p := range waits {
			errs = append(errs, registerError(p.g.key, p.g.await(ctx, p.w, began)))
		}
	}
	return errors.Join(errs...)
}

// maxTTL is etcd's longest, in seconds (server/v3 lease/lessor.go, MaxLeaseTTL).
const maxTTL = 9_000_000_000

// roundUp returns a TTL in etcd's whole seconds.
func roundUp(ttl time.Duration) int64 {
	seconds := int64(ttl / time.Second)
	if ttl%time.Second > 0 {
		seconds++
	}
	return seconds
}

func registerError(key string, err error) error {
	switch {
	case err == nil:
		return nil
	case !transient(err):
		return fmt.Errorf("register %s: %w", key, err)
	}
	return fmt.Errorf("register %s: %w: %w", key, ErrPending, err)
}

// wish sets what should be at a key.
func (r *registrar) wish(key string, s *registry.Service, node *registry.Node, seconds int64) (
	g *registration, current *wish, settled bool, err error,
) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, nil, true, ErrClosed
	}
	g = r.registrations[key]
	known := g != nil
	if !known {
		g = newRegistration(r, key)
		r.registrations[key] = g
		r.sentries.count(key, 1)
		r.remember(key)
	}
	w := g.repeated(s, node, seconds)
	if w == nil {
		w = &wish{name: s.Name, record: catalogue.NewRecord(key, s, node), seconds: seconds}
	}
	current, settled, err = g.set(w)
	if !known {
		r.connector.group.run(func() { g.run(r.connector.ctx) })
	}
	return g, current, settled, err
}

func (r *registrar) remember(key string) {
	if r.tried[key] {
		return
	}
	if len(r.triedOrder) == maxTried {
		delete(r.tried, r.triedOrder[0])
		r.triedOrder = r.triedOrder[1:]
	}
	r.tried[key] = true
	r.triedOrder = append(r.triedOrder, key)
}

// deregister removes every node of the service: of this process's own ones only what is
// still ours, of others whatever is there.
func (r *registrar) deregister(ctx context.Context, s *registry.Service) error {
	results := make([]error, len(s.Nodes))
	var wg sync.WaitGroup
	for i, node := range s.Nodes {
		key := r.keys.node(s.Name, node.Id)
		wg.Go(func() {
			if err := r.release(ctx, s.Name, key); err != nil {
				results[i] = fmt.Errorf("deregister %s: %w", key, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(results...)
}

func (r *registrar) release(ctx context.Context, name, key string) error {
	r.mu.Lock()
	g, tried := r.registrations[key], r.tried[key]
	if g == nil {
		r.mu.Unlock()
		if tried {
			return r.eraseFormer(ctx, key)
		}
		return r.delete(ctx, key)
	}
	current, settled, err := g.set(&wish{name: name})
	r.mu.Unlock()
	if settled {
		return err
	}
	return g.await(ctx, current, time.Now())
}

// delete removes a key that this process never registered.
func (r *registrar) delete(ctx context.Context, key string) error {
	answer, err := call(ctx, r.connector, func(ctx context.Context, l *link) (*clientv3.DeleteResponse, error) {
		return l.Delete(ctx, key)
	})
	if err != nil {
		return err
	}
	if answer.Deleted > 0 {
		r.wrote(key, answer.Header.Revision, nil)
	}
	return nil
}

// erase deletes a key if the guard holds, or if it turns out to hang on a lease that was ours
// before.
func (r *registrar) erase(ctx context.Context, key string, guard ...clientv3.Cmp) error {
	former := clientv3.NoLease
	for {
		answer, _, err := r.commit(ctx, &parcel{guard: guard, op: clientv3.OpDelete(key)})
		if err != nil {
			return err
		}
		if answer.ok {
			r.wrote(key, answer.revision, nil)
			return r.leases.revokeFormer(ctx, former)
		}
		if answer.found == nil || !r.leases.isOurs(clientv3.LeaseID(answer.found.Lease)) {
			return nil
		}
		former = clientv3.LeaseID(answer.found.Lease)
		guard = []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", answer.found.ModRevision)}
	}
}

// eraseFormer deletes a key that hangs on a lease of ours although we don't wish for it any more.
func (r *registrar) eraseFormer(ctx context.Context, key string) error {
	never := clientv3.Compare(clientv3.CreateRevision(key), "<", 0)
	return r.erase(ctx, key, never)
}

// clean erases what we once registered and no longer wish for. A restored snapshot brings it back, and
// where a lease is shared others would keep it alive.
func (r *registrar) clean() {
	defer r.cleaning.Store(false)
	r.mu.Lock()
	var former []string
	for _, key := range r.triedOrder {
		if r.registrations[key] == nil {
			former = append(former, key)
		}
	}
	r.mu.Unlock()
	for _, key := range former {
		ctx, cancel := context.WithTimeout(r.connector.ctx, r.timeout())
		err := r.eraseFormer(ctx, key)
		cancel()
		if err != nil {
			return
		}
	}
}

// all returns the registrations, sorted by key.
func (r *registrar) all() []*registration {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*registration, 0, len(r.registrations))
	for _, g := range r.registrations {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *registration) int { return cmp.Compare(a.key, b.key) })
	return all
}

// rewritten makes every registration check its key and lease, and removes what a snapshot
// brought back.
func (r *registrar) rewritten() {
	r.sentries.recall()
	if r.cleaning.CompareAndSwap(false, true) && !r.connector.group.run(r.clean) {
		r.cleaning.Store(false)
	}
	for _, g := range r.all() {
		g.doubt(restoreHistoryChanged)
	}
}

// hurry makes every registration that etcd hasn't got try again at once.
func (r *registrar) hurry() {
	for _, g := range r.all() {
		g.hurry()
	}
}

// retry makes every registration try again, as if nothing had been tried before.
func (r *registrar) retry() {
	r.sentries.recall()
	for _, g := range r.all() {
		g.retry()
	}
}

func (r *registrar) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// close deregisters what is ours.
func (r *registrar) close(ctx context.Context) error {
	began := time.Now()
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	var waits []func() error
	for _, g := range r.all() {
		w, settled, err := g.withdraw()
		waits = append(waits, func() error {
			if !settled {
				err = g.await(ctx, w, began)
			}
			if err != nil {
				return fmt.Errorf("deregister %s: %w", g.key, err)
			}
			return nil
		})
	}
	var errs []error
	for _, wait := range waits {
		errs = append(errs, wait())
	}
	errs = append(errs, r.leases.close(ctx))
	return errors.Join(errs...)
}
