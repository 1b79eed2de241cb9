package etcd

import (
	"fmt"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// This file says what callers may register.

func checkServiceName(name string) error {
	if !catalog.IsName(name) {
		return fmt.Errorf("%w %q", ErrServiceName, name)
	}
	return nil
}

// maxNameSize bounds a service's name and a node's id, in bytes, where they are registered. The transaction that
// deletes a key holds it three times, so a longer one could be put into etcd that can't be got out again. Some hundred
// are usual.
const maxNameSize = 16 << 10

// checkSizes validates what Register was given beyond checkService.
func checkSizes(s *registry.Service) error {
	if n := len(s.Name); n > maxNameSize {
		return fmt.Errorf("%w %.40q...: %d bytes, more than %d", ErrServiceName, s.Name, n, maxNameSize)
	}
	for i, node := range s.Nodes {
		if n := len(node.Id); n > maxNameSize {
			return fmt.Errorf(
				"%w %.40q...: %d bytes, more than %d: node %d of service %q", ErrNodeID, node.Id, n, maxNameSize, i, s.Name,
			)
		}
	}
	return nil
}

// checkService validates what Register and Deregister were given.
func checkService(s *registry.Service) error {
	if s == nil {
		return ErrNilService
	}
	if err := checkServiceName(s.Name); err != nil {
		return err
	}
	if len(s.Nodes) == 0 {
		return fmt.Errorf("%w: %q", ErrNoNodes, s.Name)
	}
	seen := make(map[string]bool, len(s.Nodes))
	for i, n := range s.Nodes {
		switch {
		case n == nil:
			return fmt.Errorf("%w: node %d of service %q", ErrNilService, i, s.Name)
		case !catalog.IsNodeID(n.Id):
			return fmt.Errorf("%w %q: node %d of service %q", ErrNodeID, n.Id, i, s.Name)
		case seen[n.Id]:
			return fmt.Errorf("%w %q: used twice in service %q", ErrNodeID, n.Id, s.Name)
		}
		seen[n.Id] = true
	}
	return nil
}

// Bounds of the values in a record. A value may hold itself, by itself or several times over, so whoever walks through
// a caller's values needs both.
const (
	// maxDepth is how deep values may be nested. Deeper ones can be written as JSON, but not read: encoding/json ends
	// at 10,000 levels, and a value takes two, the endpoint around them three.
	maxDepth = 4998
	// maxValues are some tens of megabytes of JSON, more than etcd's clients send.
	maxValues = 1 << 20
)

// checkValues returns an error that says which endpoint of a service has values that are nested in a circle, or deeper
// than [maxDepth], or are too many to be stored.
func checkValues(s *registry.Service) error {
	left := maxValues
	for _, e := range s.Endpoints {
		if e != nil && (!bounded(e.Request, maxDepth, &left) || !bounded(e.Response, maxDepth, &left)) {
			return fmt.Errorf(
				"%w: endpoint %.100q: values nested more than %d deep or in a circle, or more than %d of them", ErrMalformed,
				e.Name, maxDepth, maxValues,
			)
		}
	}
	return nil
}

// bounded takes the values that it meets from those that are left.
func bounded(v *registry.Value, depth int, left *int) bool {
	if v == nil {
		return true
	}
	*left--
	if depth == 0 || *left < 0 {
		return false
	}
	for _, inner := range v.Values {
		if !bounded(inner, depth-1, left) {
			return false
		}
	}
	return true
}
