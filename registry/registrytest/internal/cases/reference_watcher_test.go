package cases

import (
	"context"
	"sync"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

// refWatcher compares what it has told with what is the case.
type refWatcher struct {
	p    *refProcess
	name string
	ctx  context.Context

	mu      sync.Mutex // guards what follows, against concurrent Next
	told    []*registry.Service
	pending []*registry.Result

	stopping sync.Once
	stopped  chan struct{}
}

func (p *refProcess) Watch(opts ...registry.WatchOption) (registry.Watcher, error) {
	o := registry.WatchOptions{Context: context.Background()}
	for _, opt := range opts {
		opt(&o)
	}
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	if err := p.err(o.Context); err != nil && err != errRefAway { //nolint:errorlint // our own, unwrapped
		return nil, err
	}
	w := &refWatcher{p: p, name: o.Service, ctx: o.Context, stopped: make(chan struct{})}
	told, looked := p.seen[o.Service]
	if !looked {
		told = p.store.services(o.Service)
	}
	w.told = copyOf(told)
	return w, nil
}

func (w *refWatcher) Stop() { w.stopping.Do(func() { close(w.stopped) }) }

func (w *refWatcher) Next() (*registry.Result, error) {
	for {
		select {
		case <-w.stopped:
			return nil, registry.ErrWatcherStopped
		case <-w.p.closed:
			return nil, errRefClosed
		case <-w.ctx.Done():
			return nil, w.ctx.Err()
		default:
		}
		r, changed := w.step()
		if r != nil {
			return r, nil
		}
		select {
		case <-changed:
		case <-w.stopped:
		case <-w.p.closed:
		case <-w.ctx.Done():
		}
	}
}

func (w *refWatcher) step() (*registry.Result, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.p.store.mu.Lock()
	defer w.p.store.mu.Unlock()
	if len(w.pending) == 0 && w.p.frozen == nil {
		now := w.p.store.services(w.name)
		w.pending = refDiff(w.told, now)
		w.told = now
	}
	if len(w.pending) == 0 {
		return nil, w.p.store.changed
	}
	r := w.pending[0]
	w.pending = w.pending[1:]
	return r, nil
}

// refDiff tells what leads from before to after, deletes first.
func refDiff(before, after []*registry.Service) []*registry.Result {
	old, now := record.View{}, record.View{}
	old.Reset(before)
	now.Reset(after)
	var results []*registry.Result
	for key, was := range old {
		for _, n := range was.Nodes {
			if is := now[key]; is == nil || !record.HasNode(is, n.Id) {
				results = append(results, &registry.Result{Action: "delete", Service: record.Only(was, n.Id)})
			}
		}
	}
	for key, is := range now {
		results = append(results, refPresent(old[key], is)...)
	}
	return results
}

// refPresent tells what is new or changed in one version.
func refPresent(was, is *registry.Service) []*registry.Result {
	var results []*registry.Result
	for _, n := range is.Nodes {
		own := record.Only(is, n.Id)
		if was == nil || !record.HasNode(was, n.Id) {
			results = append(results, &registry.Result{Action: "create", Service: own})
		} else if record.Text(own) != record.Text(record.Only(was, n.Id)) {
			results = append(results, &registry.Result{Action: "update", Service: own})
		}
	}
	return results
}
