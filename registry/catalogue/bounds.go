package catalogue

import (
	"fmt"

	"go-micro.dev/v4/registry"
)

// Bounds of the values in a record. A value may hold itself, by itself or several times over, so whoever
// walks through a caller's values needs both.
const (
	// MaxDepth is how deep values may be nested. Deeper ones can be written as JSON, but not read:
	// encoding/json ends at 10,000 levels, and a value takes two, the endpoint around them three.
	MaxDepth = 4998
	// maxValues are some tens of megabytes of JSON, more than etcd's clients send.
	maxValues = 1 << 20
)

// CheckValues returns an error that says which endpoint of a service has values that are nested in a circle, or deeper
// than [MaxDepth], or are too many to be stored.
func CheckValues(s *registry.Service) error {
	left := maxValues
	for _, e := range s.Endpoints {
		if e != nil && (!bounded(e.Request, MaxDepth, &left) || !bounded(e.Response, MaxDepth, &left)) {
			return fmt.Errorf("endpoint %.100q: values nested more than %d deep or in a circle, or more than %d of them", e.Name, MaxDepth, maxValues)
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
