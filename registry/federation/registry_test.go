package federation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"
)

// fakeRegistry is a data center's registry in memory, in the bubble of a test: what is registered in it is the test's
// to change, and so is whether it answers.
type fakeRegistry struct {
	registry.Registry // nil: what a federation doesn't need isn't there

	mu       sync.Mutex
	services map[string]map[string]*registry.Service // by name and node id
	watchers map[*fakeWatcher]bool
	away     error         // what it answers; nil for all is well
	silent   chan struct{} // nil, or closed when it speaks again
	reads    int           // calls of GetService
	lossy    bool          // its watchers are told nothing
	log      []string
}

func newFake() *fakeRegistry {
	return &fakeRegistry{
		services: make(map[string]map[string]*registry.Service), watchers: make(map[*fakeWatcher]bool),
	}
}

func (f *fakeRegistry) Options() registry.Options {
	return registry.Options{Timeout: 3 * time.Second, Logger: fakeLogger{Logger: logger.DefaultLogger, to: f}}
}

func (f *fakeRegistry) Init(...registry.Option) error { return nil }

// fakeLogger keeps what is logged.
type fakeLogger struct {
	logger.Logger
	to *fakeRegistry
}

func (l fakeLogger) Logf(level logger.Level, format string, args ...any) {
	l.to.mu.Lock()
	defer l.to.mu.Unlock()
	l.to.log = append(l.to.log, level.String()+" "+fmt.Sprintf(format, args...))
}

// answers returns an error when it has none to give.
func (f *fakeRegistry) answers(ctx context.Context) error {
	f.mu.Lock()
	away, silent := f.away, f.silent
	f.mu.Unlock()
	if silent != nil {
		select {
		case <-silent:
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(3 * time.Second):
			return context.DeadlineExceeded
		}
	}
	return away
}

// setAway makes it answer with an error; nil for all is well.
func (f *fakeRegistry) setAway(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = err
	for w := range f.watchers {
		if err != nil {
			w.end()
		}
	}
}

// silence makes it answer nothing until speak is called.
func (f *fakeRegistry) silence() (speak func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.silent = make(chan struct{})
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		close(f.silent)
		f.silent = nil
	}
}

func (f *fakeRegistry) Register(s *registry.Service, _ ...registry.RegisterOption) error {
	if err := f.answers(context.Background()); err != nil {
		return err
	}
	f.put(s)
	return nil
}

func (f *fakeRegistry) put(s *registry.Service) {
	f.mu.Lock()
	defer f.mu.Unlock()
	nodes := f.services[s.Name]
	if nodes == nil {
		nodes = make(map[string]*registry.Service)
		f.services[s.Name] = nodes
	}
	for _, n := range s.Nodes {
		one := *s
		one.Nodes = []*registry.Node{n}
		nodes[n.Id] = &one
		f.tellLocked("update", &one)
	}
}

func (f *fakeRegistry) Deregister(s *registry.Service, _ ...registry.DeregisterOption) error {
	if err := f.answers(context.Background()); err != nil {
		return err
	}
	f.remove(s)
	return nil
}

func (f *fakeRegistry) remove(s *registry.Service) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range s.Nodes {
		if one := f.services[s.Name][n.Id]; one != nil {
			delete(f.services[s.Name], n.Id)
			f.tellLocked("delete", one)
		}
	}
}

// wipe removes everything, and returns what puts it back.
func (f *fakeRegistry) wipe() (restore func()) {
	f.mu.Lock()
	before := f.services
	f.services = make(map[string]map[string]*registry.Service)
	for _, nodes := range before {
		for _, one := range nodes {
			f.tellLocked("delete", one)
		}
	}
	f.mu.Unlock()
	return func() {
		for _, nodes := range before {
			for _, one := range nodes {
				f.put(one)
			}
		}
	}
}

func (f *fakeRegistry) GetService(name string, opts ...registry.GetOption) ([]*registry.Service, error) {
	var o registry.GetOptions
	for _, opt := range opts {
		opt(&o)
	}
	if err := f.answers(cmp.Or(o.Context, context.Background())); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	services := f.listLocked(name)
	if len(services) == 0 {
		return nil, registry.ErrNotFound
	}
	return services, nil
}

func (f *fakeRegistry) ListServices(...registry.ListOption) ([]*registry.Service, error) {
	if err := f.answers(context.Background()); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*registry.Service
	for _, name := range slices.Sorted(maps.Keys(f.services)) {
		all = append(all, f.listLocked(name)...)
	}
	return all, nil
}

func (f *fakeRegistry) listLocked(name string) []*registry.Service {
	versions := make(map[string]*registry.Service)
	for _, id := range slices.Sorted(maps.Keys(f.services[name])) {
		one := f.services[name][id]
		if versions[one.Version] == nil {
			s := *one
			s.Nodes = nil
			versions[one.Version] = &s
		}
		versions[one.Version].Nodes = append(versions[one.Version].Nodes, one.Nodes...)
	}
	return slices.SortedFunc(maps.Values(versions), func(a, b *registry.Service) int {
		return cmp.Compare(a.Version, b.Version)
	})
}

func (f *fakeRegistry) readCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reads
}

func (f *fakeRegistry) watcherCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.watchers)
}

func (f *fakeRegistry) logged() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.log)
}

// tellLocked tells watchers, without blocking: they read everything again.
func (f *fakeRegistry) tellLocked(action string, s *registry.Service) {
	for w := range f.watchers {
		if !f.lossy && (w.service == "" || w.service == s.Name) {
			w.results <- &registry.Result{Action: action, Service: s}
		}
	}
}

func (f *fakeRegistry) Watch(opts ...registry.WatchOption) (registry.Watcher, error) {
	var o registry.WatchOptions
	for _, opt := range opts {
		opt(&o)
	}
	if err := f.answers(cmp.Or(o.Context, context.Background())); err != nil {
		return nil, err
	}
	w := &fakeWatcher{
		of: f, service: o.Service, results: make(chan *registry.Result, 10_000), ended: make(chan struct{}),
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers[w] = true
	return w, nil
}

type fakeWatcher struct {
	of      *fakeRegistry
	service string
	results chan *registry.Result
	once    sync.Once
	ended   chan struct{}
}

func (w *fakeWatcher) Next() (*registry.Result, error) {
	select {
	case r := <-w.results:
		return r, nil
	case <-w.ended:
		return nil, registry.ErrWatcherStopped
	}
}

func (w *fakeWatcher) end() { w.once.Do(func() { close(w.ended) }) }

func (w *fakeWatcher) Stop() {
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	delete(w.of.watchers, w)
	w.end()
}

var errAway = errors.New("no route to etcd")

// three is a federation of three data centers: eu1, where the test is, eu2, and us1.
type three struct {
	*Registry
	eu1, eu2, us1 *fakeRegistry
}

func (f *three) all() []*fakeRegistry { return []*fakeRegistry{f.eu1, f.eu2, f.us1} }

// withThree runs a test in virtual time.
func withThree(t *testing.T, test func(*testing.T, *three), opts ...Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &three{eu1: newFake(), eu2: newFake(), us1: newFake()}
		all := []Option{Local("eu1", f.eu1), Remote("eu2", f.eu2), Remote("us1", f.us1)}
		r, err := New(append(all, opts...)...)
		require.NoError(t, err)
		f.Registry = r
		t.Cleanup(func() { require.NoError(t, r.Close()) })
		test(t, f)
	})
}

// greeter is a service of some nodes.
func greeter(ids ...string) *registry.Service {
	s := &registry.Service{Name: "greeter", Version: "1"}
	for _, id := range ids {
		s.Nodes = append(s.Nodes, &registry.Node{Id: id, Address: id + ":1"})
	}
	return s
}

// nodes returns what a lookup answers, as "dc/id".
func (f *three) nodes(t *testing.T, opts ...registry.GetOption) []string {
	t.Helper()
	services, err := f.GetService("greeter", opts...)
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	require.NoError(t, err)
	return nodesOf(services)
}

func nodesOf(services []*registry.Service) []string {
	var all []string
	for _, s := range services {
		for _, n := range s.Nodes {
			all = append(all, n.Metadata[DatacenterKey]+"/"+n.Id)
		}
	}
	return all
}

// serves waits until events have arrived, and looks up.
func (f *three) serves(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	require.Equal(t, want, f.nodes(t))
}

// keep has the service followed although nobody looks it up.
func (f *three) keep(t *testing.T) {
	t.Helper()
	w, err := f.Watch(registry.WatchService("greeter"))
	require.NoError(t, err)
	t.Cleanup(w.Stop)
}
