// Package bench measures what each call of a registry costs, and what a watcher takes.
package bench

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
)

// Run runs one sub-benchmark per kind of work.
func Run(b *testing.B, backend harness.Backend) {
	b.Helper()
	for _, s := range []struct {
		name string
		run  func(*bench)
	}{
		{"GetService/nodes=10", func(x *bench) { x.lookup(10) }},
		{"GetService/nodes=1000", func(x *bench) { x.lookup(1000) }},
		{"GetService/parallel", (*bench).lookupParallel},
		{"ListServices", (*bench).list},
		{"Register/first", (*bench).registerFirst},
		{"Register/repeated", (*bench).registerRepeated},
		{"Deregister", (*bench).deregister},
		{"Watch/latency", (*bench).watchLatency},
		{"Watch/burst", (*bench).watchBurst},
	} {
		b.Run(s.name, func(b *testing.B) {
			s.run(&bench{B: b, backend: backend, scope: "bench." + strings.ToLower(rand.Text()[:6])})
		})
	}
}
