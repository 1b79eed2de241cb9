package etcd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/registry/catalogue"
)

// maxTried bounds the keys that a registrar remembers to have had: those stay guarded
// against a late or repeated Deregister after somebody else took them.
const maxTried = 4096

// registrar holds the desired set: what this process wants to be in etcd.
//
// Lock order: registrar.mu, then registration.mu, then connector.mu.
type registrar struct {
	connector *connector
	keys      keyspace
	timeout   func() time.Duration
	log       func() log
	wrote     func(key string, revision int64, value []byte) // value nil: deleted
	alarm     func()                                         // etcd's history may be another one; doesn't block

	mu            sync.Mutex
	registrations map[string]*registration // by key
	tried         map[string]bool
	triedOrder    []string // the oldest first
	closed        bool     // nothing more is registered
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
		w := &wish{name: s.Name, record: catalogue.NewRecord(key, s, node), seconds: seconds}
		g, w, settled, err := r.wish(key, w)
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
func (r *registrar) wish(key string, w *wish) (g *registration, current *wish, settled bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, w, true, ErrClosed
	}
	g = r.registrations[key]
	known := g != nil
	if !known {
		g = newRegistration(r, key)
		r.registrations[key] = g
		r.remember(key)
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
			return nil
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

// rewritten makes every registration check its key and lease.
func (r *registrar) rewritten() {
	for _, g := range r.all() {
		g.doubt()
	}
}

// retry makes every registration try again at once.
func (r *registrar) retry() {
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
	errs := make([]error, len(waits))
	for i, wait := range waits {
		errs[i] = wait()
	}
	return errors.Join(errs...)
}
