package etcd

import (
	"sync"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// preserving are the selectors with [Grace] on one registry.
type preserving struct{ selectors sync.Map } // preserver → nil

// preserver is what a registry tells such a selector, and asks it.
type preserver interface {
	// forgetNode ends the grace of the node at a key: the registry has deregistered it, or it can't be reached.
	forgetNode(keys catalog.Keyspace, key string)
	// preserved tells how many nodes of a service, by its directory, are only there by grace.
	preserved(keys catalog.Keyspace, count func(dir string, nodes int))
}

func (s *preserving) add(p preserver) { s.selectors.Store(p, nil) }

func (s *preserving) remove(p preserver) { s.selectors.Delete(p) }

func (s *preserving) each(yield func(preserver)) {
	s.selectors.Range(func(p, _ any) bool {
		yield(p.(preserver))
		return true
	})
}

// forget ends the grace of the node at a key.
func (s *preserving) forget(keys catalog.Keyspace, key string) {
	s.each(func(p preserver) { p.forgetNode(keys, key) })
}

// lost counts the nodes that have grace, by the directory of their service.
func (s *preserving) lost(keys catalog.Keyspace) map[string]int {
	lost := make(map[string]int)
	s.each(func(p preserver) {
		p.preserved(keys, func(dir string, nodes int) { lost[dir] = max(lost[dir], nodes) })
	})
	return lost
}
