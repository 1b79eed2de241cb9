package etcd

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/micro-etcd/micro-etcd/internal/etcdfake"
)

// This file is how tests see whether all is well with a fake etcd and its clients.

// await waits until something holds, and returns how long that took. It may take as long as limit.
func await(t *testing.T, limit time.Duration, what string, holds func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > limit {
			t.Fatalf("not within %s: %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(began)
}

// value returns what is at a key, and on which lease.
func (e *fakeEtcd) value(key string) (value string, lease int64, ok bool) {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	kv := e.Store.Keys[key]
	if kv == nil {
		return "", 0, false
	}
	return string(kv.Value), kv.Lease, true
}

// has reports whether a service's nodes are all in etcd, as they are, and on living leases.
func (e *fakeEtcd) has(s *registry.Service) bool {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	for _, n := range s.Nodes {
		one := *s
		one.Nodes = []*registry.Node{n}
		want, _ := json.Marshal(&one)
		kv := e.Store.Keys[DefaultPrefix+s.Name+"/"+n.Id]
		if kv == nil || string(kv.Value) != string(want) || e.Store.Missing(kv.Lease) || kv.Lease == 0 {
			return false
		}
	}
	return true
}

// losses counts how often a key was deleted.
func (e *fakeEtcd) losses(key string) int {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	n := 0
	for _, event := range e.Store.Events {
		if event.Type == mvccpb.DELETE && string(event.Kv.Key) == key {
			n++
		}
	}
	return n
}

func (e *fakeEtcd) leaseCount() int {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	return len(e.Store.Leases)
}

func (e *fakeEtcd) watchCount() int {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	return len(e.Watches)
}

// requests returns how many requests there were, of some methods or of all.
func (e *fakeEtcd) requests(methods ...string) int {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	n := 0
	for method, times := range e.Asked {
		if len(methods) == 0 || slices.Contains(methods, method) {
			n += times
		}
	}
	return n
}

// truth returns what a consumer should have of a service, from etcd's data.
func (e *fakeEtcd) truth(name string) consumer {
	e.Mu.Lock()
	defer e.Mu.Unlock()
	kvs := etcdfake.Find(e.Store.Keys, []byte(DefaultPrefix), []byte{0})
	slices.SortFunc(kvs, func(a, b *mvccpb.KeyValue) int { return cmp.Compare(a.ModRevision, b.ModRevision) })
	c := make(consumer)
	for _, kv := range kvs { // the newest last, so that it has the say about its version
		var s registry.Service
		if json.Unmarshal(kv.Value, &s) != nil || s.Name != name || len(s.Nodes) != 1 {
			continue
		}
		c.fold(&registry.Result{Action: "create", Service: &s})
	}
	return c
}

// look returns what a lookup shows.
func look(r *Registry, name string) (consumer, error) {
	c := make(consumer)
	services, err := r.GetService(name)
	if err != nil && err != registry.ErrNotFound { //nolint:errorlint // go-micro's users compare it
		return nil, err
	}
	for _, s := range services {
		c[s.Name+"@"+s.Version] = s
	}
	return c, nil
}

func looked(t *testing.T, r *Registry, name string) consumer {
	t.Helper()
	c, err := look(r, name)
	require.NoError(t, err)
	return c
}

// follower is a consumer of a service: it looks up, then watches and folds.
type follower struct {
	watcher registry.Watcher
	done    chan struct{}

	mu    sync.Mutex
	view  consumer
	going chan struct{} // closed unless it is paused
}

func newFollower(t *testing.T, r *Registry, name string) *follower {
	t.Helper()
	f, err := follow(r, name, looked(t, r, name))
	require.NoError(t, err)
	t.Cleanup(f.stop)
	return f
}

// follow folds what happens to a service over what was shown of it.
func follow(r *Registry, name string, shown consumer) (*follower, error) {
	f := &follower{view: shown, done: make(chan struct{}), going: make(chan struct{})}
	close(f.going)
	var err error
	if f.watcher, err = r.Watch(registry.WatchService(name)); err != nil {
		return nil, err
	}
	go f.run()
	return f, nil
}

func (f *follower) run() {
	defer close(f.done)
	for {
		result, err := f.watcher.Next()
		if err != nil {
			return
		}
		f.mu.Lock()
		going := f.going
		f.mu.Unlock()
		<-going
		f.mu.Lock()
		f.view.fold(result)
		f.mu.Unlock()
	}
}

// pause makes it slow, and resume quick again.
func (f *follower) pause() {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.going:
		f.going = make(chan struct{})
	default:
	}
}

func (f *follower) resume() {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.going:
	default:
		close(f.going)
	}
}

func (f *follower) stop() {
	f.resume()
	f.watcher.Stop()
	<-f.done
}

func (f *follower) lines() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.view.lines()
}

// differ says how the lookup and the followers differ from the truth, if they do.
func (e *fakeEtcd) differ(name string, r *Registry, followers ...*follower) string {
	want := e.truth(name).lines()
	shown, err := look(r, name)
	if err != nil {
		return err.Error()
	}
	if got := shown.lines(); !slices.Equal(got, want) {
		return fmt.Sprintf("the lookup shows\n%q\nwhere etcd has\n%q", got, want)
	}
	for i, f := range followers {
		if got := f.lines(); !slices.Equal(got, want) {
			return fmt.Sprintf("follower %d has\n%q\nwhere etcd has\n%q", i, got, want)
		}
	}
	return ""
}
