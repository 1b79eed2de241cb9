package registrytest

import (
	"testing"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/bench"
)

// Bench measures the registry that b describes, with one sub-benchmark per kind of work and records as Go Micro's
// server writes them (see [TypicalService]). Registries are comparable when they are measured in one run against one
// store.
//
// Of the Backend it uses Open, Close, Patience, and whether it lacks [Shared]: then one process plays all roles. A
// registry that fails a call fails the benchmark; one that loses events does not, but shows it as "lost/op".
//
// The time to live is ten minutes: a registry that renews only in Register must not be measured for longer.
func Bench(b *testing.B, backend Backend) {
	b.Helper()
	bench.Run(b, backend.forHarness())
}

// TypicalService returns a service as Go Micro's server writes it, with four endpoints and without nodes. With one
// [TypicalNode] it is about 1 KB of JSON. The result is the caller's own.
func TypicalService(name string) *registry.Service { return bench.TypicalService(name) }

// TypicalNode returns node i of a service as Go Micro's server writes it, with five metadata entries. The result is the
// caller's own.
func TypicalNode(service string, i int) *registry.Node { return bench.TypicalNode(service, i) }
