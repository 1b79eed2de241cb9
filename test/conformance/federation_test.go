package conformance

import (
	"errors"
	"io"
	"maps"
	"testing"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/federation"
	"github.com/micro-etcd/micro-etcd/registry/registrytest"
)

// unlabeled is a federation of one registry but for the data center in the nodes' metadata, in which alone it differs
// from that registry.
type unlabeled struct {
	*federation.Registry
	only registry.Registry
}

func newUnlabeled(r registry.Registry, err error) (registry.Registry, error) {
	if err != nil {
		return nil, err
	}
	f, err := federation.New(federation.Local("eu1", r))
	if err != nil {
		return nil, err
	}
	return unlabeled{f, r}, nil
}

func (u unlabeled) Close() error {
	err := u.Registry.Close()
	if c, ok := u.only.(io.Closer); ok {
		err = errors.Join(err, c.Close())
	}
	return err
}

func (u unlabeled) GetService(name string, opts ...registry.GetOption) ([]*registry.Service, error) {
	services, err := u.Registry.GetService(name, opts...)
	return unlabel(services...), err
}

func (u unlabeled) ListServices(opts ...registry.ListOption) ([]*registry.Service, error) {
	services, err := u.Registry.ListServices(opts...)
	return unlabel(services...), err
}

func (u unlabeled) Watch(opts ...registry.WatchOption) (registry.Watcher, error) {
	w, err := u.Registry.Watch(opts...)
	return unlabeledWatcher{w}, err
}

type unlabeledWatcher struct{ registry.Watcher }

func (w unlabeledWatcher) Next() (*registry.Result, error) {
	result, err := w.Watcher.Next()
	if result != nil {
		unlabel(result.Service)
	}
	return result, err
}

// unlabel takes the data center out of the metadata. A node that had no metadata has an empty map then.
func unlabel(services ...*registry.Service) []*registry.Service {
	for _, s := range services {
		for _, n := range s.Nodes {
			if n.Metadata[federation.DatacenterKey] != "eu1" {
				panic("node " + n.Id + " of " + s.Name + " isn't from eu1")
			}
			maps.DeleteFunc(n.Metadata, func(k, _ string) bool { return k == federation.DatacenterKey })
		}
	}
	return services
}

func TestFederationOfOne(t *testing.T) {
	s := StartStore(t, 1)
	b := s.Backend(func(opts ...registry.Option) (registry.Registry, error) { return newUnlabeled(openOurs(opts...)) })
	b.Lacks, b.Drain = oursLacks, s.drain
	b.Patience, b.CaseTimeout = time.Minute, 5*time.Minute
	registrytest.Run(t, b)
}

// memoryLacks is what Go Micro's memory registry doesn't do, and a federation of it neither. What memory gets wrong
// about events, the federation makes good.
var memoryLacks = map[registrytest.Capability]string{
	registrytest.Shared:        "its store is the value itself",
	registrytest.WholeRecord:   "of a known node Register refreshes only the TTL, and a version keeps what it first said about itself",
	registrytest.Ordered:       "ListServices is the memory registry's, and that returns versions and nodes in map order",
	registrytest.Closer:        "the memory registry in it cannot be closed",
	registrytest.Validates:     "a nil Service panics, and a Service without nodes, name or id is taken",
	registrytest.Contexts:      "contexts are ignored",
	registrytest.ExpiryDeletes: "an expired node is no event: it is found within a minute",
	registrytest.SelfRenewing:  "only Register renews",
	registrytest.SelfHealing:   "there is nothing to lose a record to",
	registrytest.Ownership:     "there is one process",
	registrytest.Bounded:       "there is nothing to wait for",
	registrytest.LastView:      "the store is never away",
	registrytest.InitWhileUsed: "Init writes the options unguarded",
	registrytest.OwnCopies:     "it keeps the caller's nodes and endpoints",
}

func TestFederationOfOneMemoryRegistry(t *testing.T) {
	t.Parallel() // what has expired is found within a minute
	registrytest.Run(t, registrytest.Backend{
		Open: func(opts ...registry.Option) (registry.Registry, error) {
			return newUnlabeled(registry.NewMemoryRegistry(opts...), nil)
		},
		Kill:  func(registry.Registry) error { return nil }, // nobody registers any more
		Lacks: memoryLacks,
		TTL:   time.Second,

		Patience: 2 * time.Minute, CaseTimeout: 5 * time.Minute,
	})
}
