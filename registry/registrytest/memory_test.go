package registrytest_test

import (
	"testing"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest"
)

// memoryLacks is what Go Micro's own memory registry does not do.
var memoryLacks = map[registrytest.Capability]string{
	registrytest.Shared:         "its store is the value itself",
	registrytest.WholeRecord:    "of a known node Register refreshes only the TTL, and a version keeps what it first said about itself",
	registrytest.OwnCopies:      "it keeps the caller's nodes and endpoints, and hands the caller's Service to every watcher",
	registrytest.Ordered:        "results come in map order",
	registrytest.Validates:      "a nil Service panics, and a Service without nodes, name or id is taken",
	registrytest.Contexts:       "contexts are ignored",
	registrytest.Lossless:       "an event that a watcher has not taken after 10 ms is dropped, and events overtake each other",
	registrytest.ExactActions:   "a new node arrives as update",
	registrytest.WholeDeletes:   "a delete carries what Deregister was told",
	registrytest.StoppedError:   "Next after Stop returns an error of its own",
	registrytest.ConcurrentStop: "two Stops at once close one channel twice",
	registrytest.SinceLookup:    "a watcher starts at Watch",
	registrytest.ExpiryDeletes:  "an expired node leaves a Service without nodes behind, and is no event",
	registrytest.SelfRenewing:   "only Register renews",
	registrytest.SelfHealing:    "there is nothing to lose a record to",
	registrytest.Ownership:      "there is one process",
	registrytest.Bounded:        "there is nothing to wait for",
	registrytest.LastView:       "the store is never away",
	registrytest.InitWhileUsed:  "Init writes the options unguarded",
	registrytest.Closer:         "it cannot be closed",
}

// TestMemoryRegistry holds Go Micro's reference to what the kit takes for Go Micro's contract: a mandatory rule that it
// broke would be no such thing.
func TestMemoryRegistry(t *testing.T) {
	registrytest.Run(t, registrytest.Backend{
		Open: func(opts ...registry.Option) (registry.Registry, error) {
			return registry.NewMemoryRegistry(opts...), nil
		},
		Kill:  func(registry.Registry) error { return nil }, // nobody registers any more
		Lacks: memoryLacks,
		TTL:   time.Second,
	})
}
