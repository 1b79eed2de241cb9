package etcd

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/view"
)

// This file turns go-micro's types into the catalog's and back. A pointer to a node can be converted as it is.

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
		o.copied = fromService(o.service)
	}
	return o.copied.Record(key, i), nil
}

// fromService copies a service of a caller's. It leaves out nil endpoints and values, which go-micro's own copying
// panics on. The service must have passed checkValues: values that hold themselves have no copy.
func fromService(s *registry.Service) *catalog.Service {
	c := &catalog.Service{Name: s.Name, Version: text(s.Version), Metadata: fromMap(s.Metadata)}
	for _, n := range s.Nodes {
		c.Nodes = append(c.Nodes, &catalog.Node{Id: n.Id, Address: text(n.Address), Metadata: fromMap(n.Metadata)})
	}
	if s.Endpoints != nil {
		c.Endpoints = make([]*catalog.Endpoint, 0, len(s.Endpoints))
	}
	for _, e := range s.Endpoints {
		if e != nil {
			c.Endpoints = append(c.Endpoints, &catalog.Endpoint{
				Name: text(e.Name), Request: fromValue(e.Request), Response: fromValue(e.Response), Metadata: fromMap(e.Metadata),
			})
		}
	}
	return c
}

func fromValue(v *registry.Value) *catalog.Value {
	if v == nil {
		return nil
	}
	c := &catalog.Value{Name: text(v.Name), Type: text(v.Type)}
	if v.Values != nil {
		c.Values = make([]*catalog.Value, 0, len(v.Values))
	}
	for _, inner := range v.Values {
		if inner != nil {
			c.Values = append(c.Values, fromValue(inner))
		}
	}
	return c
}

// text returns a string as JSON keeps it: what isn't UTF-8 becomes U+FFFD byte by byte.
func text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

func fromMap(m map[string]string) map[string]string {
	if m == nil {
		return nil
	}
	c := make(map[string]string, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) { // of keys that become one, always the same counts
		c[text(k)] = text(m[k])
	}
	return c
}

// toServices returns one service per version. The result belongs to the caller, down to its maps. It is nil for a
// service without nodes.
func toServices(s *catalog.Snapshot) []*registry.Service {
	if s == nil {
		return nil
	}
	services := make([]*registry.Service, len(s.Versions))
	for i, v := range s.Versions {
		services[i] = toService(s.Name, v.Version, v.Profile, copyNodes(v.Nodes))
	}
	return services
}

// copyNodes copies into one slab, because a big service is copied at every lookup.
func copyNodes(nodes []*catalog.Node) []*registry.Node {
	slab := make([]registry.Node, len(nodes))
	copies := make([]*registry.Node, len(nodes))
	for i, n := range nodes {
		slab[i] = registry.Node{Id: n.Id, Address: n.Address, Metadata: maps.Clone(n.Metadata)}
		copies[i] = &slab[i]
	}
	return copies
}

// toResult returns a change in the shape that go-micro's watchers have: the service with exactly one node. The result
// belongs to the caller.
func toResult(c catalog.Change) *registry.Result {
	nodes := copyNodes([]*catalog.Node{c.Record.Node})
	return &registry.Result{
		Action: string(c.Action), Service: toService(c.Record.Name, c.Record.Version, c.Profile, nodes),
	}
}

func toService(name, version string, p *catalog.Profile, nodes []*registry.Node) *registry.Service {
	return &registry.Service{
		Name: name, Version: version, Metadata: maps.Clone(p.Metadata), Endpoints: toEndpoints(p.Endpoints), Nodes: nodes,
	}
}

func toEndpoints(endpoints []*catalog.Endpoint) []*registry.Endpoint {
	if endpoints == nil {
		return nil
	}
	copies := make([]*registry.Endpoint, len(endpoints))
	for i, e := range endpoints {
		copies[i] = &registry.Endpoint{
			Name: e.Name, Request: toValue(e.Request), Response: toValue(e.Response), Metadata: maps.Clone(e.Metadata),
		}
	}
	return copies
}

func toValue(v *catalog.Value) *registry.Value {
	if v == nil {
		return nil
	}
	c := &registry.Value{Name: v.Name, Type: v.Type}
	if v.Values == nil {
		return c
	}
	c.Values = make([]*registry.Value, len(v.Values))
	for i, inner := range v.Values {
		c.Values[i] = toValue(inner)
	}
	return c
}

// shareNodes returns nodes as go-micro's, without copying them.
func shareNodes(nodes []*catalog.Node) []*registry.Node {
	shared := make([]*registry.Node, len(nodes))
	for i, n := range nodes {
		shared[i] = (*registry.Node)(n)
	}
	return shared
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
	return toService(r.Name, r.Version, r.Profile, copyNodes([]*catalog.Node{r.Node})), nil
}

// registryWatcher is a watcher as go-micro knows it.
type registryWatcher struct{ *view.Watcher }

// Next returns the next change. The result belongs to the caller. It blocks until there is one; after Stop, or when
// WatchContext or the registry ended, it returns an error that is registry.ErrWatcherStopped or wraps it with the
// cause. It never fails for another reason.
func (w registryWatcher) Next() (*registry.Result, error) {
	change, err := w.Watcher.Next()
	switch {
	case errors.Is(err, view.ErrStopped):
		return nil, registry.ErrWatcherStopped
	case err != nil:
		return nil, fmt.Errorf("%w: %w", registry.ErrWatcherStopped, err)
	}
	return toResult(change), nil
}
