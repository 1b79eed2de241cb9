package etcd

import (
	"sync"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// graceSelectors are the selectors with [Grace] on one registry.
type graceSelectors struct{ set sync.Map } // graceSelector → nil

// graceSelector is what a registry tells such a selector, and asks it.
type graceSelector interface {
	// endGrace ends that of the node at a key: the registry has deregistered it, or it can't be reached.
	endGrace(keys catalog.Keyspace, key string)
	// countGrace tells how many nodes of a service, by its directory, are only there by grace.
	countGrace(keys catalog.Keyspace, count func(dir string, nodes int))
}

func (s *graceSelectors) add(g graceSelector) { s.set.Store(g, nil) }

func (s *graceSelectors) remove(g graceSelector) { s.set.Delete(g) }

func (s *graceSelectors) each(yield func(graceSelector)) {
	s.set.Range(func(g, _ any) bool {
		yield(g.(graceSelector))
		return true
	})
}

// endGrace ends that of the node at a key.
func (s *graceSelectors) endGrace(keys catalog.Keyspace, key string) {
	s.each(func(g graceSelector) { g.endGrace(keys, key) })
}

// withGrace counts the nodes that have grace, by the directory of their service.
func (s *graceSelectors) withGrace(keys catalog.Keyspace) map[string]int {
	found := make(map[string]int)
	s.each(func(g graceSelector) {
		g.countGrace(keys, func(dir string, nodes int) { found[dir] = max(found[dir], nodes) })
	})
	return found
}
