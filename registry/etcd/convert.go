package etcd

import (
	"fmt"
	"maps"
	"slices"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/registry/internal/gomicro"
)

// This file is what a caller wants to register, and what a tool may want to read.

// offered is a service that a caller wants to register.
type offered struct {
	service *registry.Service
	copied  *catalog.Service // nil before it is needed
}

func (o *offered) Nodes() int { return len(o.service.Nodes) }

func (o *offered) ID(node int) string { return o.service.Nodes[node].Id }

func (o *offered) Same(r *catalog.Record, i int) bool {
	s := o.service
	return r.Name == s.Name && r.Version == s.Version && r.Node.Equal((*catalog.Node)(s.Nodes[i])) &&
		maps.Equal(r.Profile.Metadata, s.Metadata) && slices.EqualFunc(r.Profile.Endpoints, s.Endpoints, sameEndpoint)
}

func sameEndpoint(a *catalog.Endpoint, b *registry.Endpoint) bool {
	return b != nil && a.Name == b.Name && maps.Equal(a.Metadata, b.Metadata) &&
		sameValue(a.Request, b.Request) && sameValue(a.Response, b.Response)
}

// sameValue goes no further into b than a goes, so it ends also where b holds itself.
func sameValue(a *catalog.Value, b *registry.Value) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Name == b.Name && a.Type == b.Type && slices.EqualFunc(a.Values, b.Values, sameValue)
}

func (o *offered) Record(key string, i int) (*catalog.Record, error) {
	if o.copied == nil {
		if err := checkValues(o.service); err != nil {
			return nil, err
		}
		o.copied = gomicro.FromService(o.service)
	}
	return o.copied.Record(key, i), nil
}

// Decode reads what is stored at a key as the registry itself does, for tools that look into etcd on their own. prefix
// is the registry's, see [Prefix]. The result has one node and belongs to the caller.
//
// Errors: ErrMalformed when the registry would skip the value, ErrOption for an empty prefix.
func Decode(prefix, key string, value []byte) (*registry.Service, error) {
	keys, ok := catalog.NewKeyspace(prefix)
	if !ok {
		return nil, fmt.Errorf("decode: %w: prefix %q is empty", ErrOption, prefix)
	}
	r, err := catalog.NewDecoder(keys).Decode(key, 0, value)
	if err != nil {
		return nil, err
	}
	return gomicro.Service(r.Name, r.Version, r.Profile, gomicro.CopyNodes([]*catalog.Node{r.Node})), nil
}
