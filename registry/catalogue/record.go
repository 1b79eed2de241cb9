package catalogue

import (
	"maps"
	"slices"
	"strings"

	"go-micro.dev/v4/registry"
)

// Record is one registration as it is stored: one node of one version of one service.
// A Record and what it points to must not change after it was given to a [Catalogue];
// records may share a Profile and metadata maps. Its Profile and Node are not nil.
type Record struct {
	// Key identifies the record in its store.
	Key string
	// Revision is the store's revision at which the record was written. Of several
	// records of one node id one that has the node's own key wins, see [Record.HasOwnKey], and
	// of several such, or of several others, the one with the highest revision.
	Revision int64
	// Lease is the id of what the record hangs on in its store, 0 for nothing. Together with the
	// revision it tells one writing of a key from those of another history.
	Lease int64
	// Name and Version are the service's.
	Name, Version string
	// Profile is what the record says about its service version.
	Profile *Profile
	// Node is the record's only node. Its Id is unique within the service.
	Node *registry.Node
}

// NewRecord returns the record of one node of s. It shares nothing with s, and leaves
// out nil endpoints and values, which go-micro's own copying panics on. The service must have passed
// [CheckValues]: values that hold themselves have no copy.
func NewRecord(key string, s *registry.Service, node *registry.Node) *Record {
	return &Record{
		Key:     key,
		Name:    s.Name,
		Version: s.Version,
		Profile: &Profile{Metadata: maps.Clone(s.Metadata), Endpoints: copyEndpoints(s.Endpoints)},
		Node:    copyNode(node),
	}
}

// Profile is what all nodes of a service version share: the fields of
// [registry.Service] beside its name, version and nodes.
type Profile struct {
	Metadata  map[string]string
	Endpoints []*registry.Endpoint
}

// Equal reports whether p and q say the same. A nil map equals an empty one.
func (p *Profile) Equal(q *Profile) bool {
	return p == q || maps.Equal(p.Metadata, q.Metadata) &&
		slices.EqualFunc(p.Endpoints, q.Endpoints, equalEndpoint)
}

// Equal reports whether r and q describe the same node of the same version with
// the same fields, whatever their revisions, leases and keys.
func (r *Record) Equal(q *Record) bool {
	return r == q || r.Name == q.Name && r.Version == q.Version &&
		r.Node.Id == q.Node.Id && r.Node.Address == q.Node.Address &&
		maps.Equal(r.Node.Metadata, q.Node.Metadata) && r.Profile.Equal(q.Profile)
}

// Describes reports whether NewRecord would make an equal record of the node of s. It may miss
// that where s has nil endpoints or values. It compares no more of s than r has, so it ends also
// where s has values in a circle.
func (r *Record) Describes(s *registry.Service, node *registry.Node) bool {
	return r.Name == s.Name && r.Version == s.Version &&
		r.Node.Id == node.Id && r.Node.Address == node.Address &&
		maps.Equal(r.Node.Metadata, node.Metadata) &&
		r.Profile.Equal(&Profile{Metadata: s.Metadata, Endpoints: s.Endpoints})
}

// newer orders records by revision, and those of one transaction by key. Every record is
// newer than none.
func (r *Record) newer(q *Record) bool {
	return q == nil || r.Revision > q.Revision || r.Revision == q.Revision && r.Key > q.Key
}

// outranks reports whether r counts, rather than q, for the node id that both are of: what somebody put under
// another key doesn't hide a node that is there.
func (r *Record) outranks(q *Record) bool {
	if q != nil && r.HasOwnKey() != q.HasOwnKey() {
		return r.HasOwnKey()
	}
	return r.newer(q)
}

// HasOwnKey reports whether the record's key is that of its node: whether it ends, as the keys of Go Micro's etcd
// registries do, in the service's name and the node's id. In the name "/" is written as "-", and in the id it may be.
func (r *Record) HasOwnKey() bool {
	dir, found := strings.CutSuffix(r.Key, "/"+r.Node.Id)
	if !found {
		dir, found = strings.CutSuffix(r.Key, "/"+dashed(r.Node.Id))
	}
	return found && strings.HasSuffix(dir, "/"+dashed(r.Name))
}

func dashed(s string) string { return strings.ReplaceAll(s, "/", "-") }

// Service returns the record as a service of one node. The result belongs to the caller.
func (r *Record) Service() *registry.Service {
	return r.Profile.service(r.Name, r.Version, []*registry.Node{copyNode(r.Node)})
}

func (p *Profile) service(name, version string, nodes []*registry.Node) *registry.Service {
	return &registry.Service{
		Name:      name,
		Version:   version,
		Metadata:  maps.Clone(p.Metadata),
		Endpoints: copyEndpoints(p.Endpoints),
		Nodes:     nodes,
	}
}

func equalEndpoint(a, b *registry.Endpoint) bool {
	return a == b || a != nil && b != nil && a.Name == b.Name &&
		maps.Equal(a.Metadata, b.Metadata) &&
		equalValue(a.Request, b.Request) && equalValue(a.Response, b.Response)
}

func equalValue(a, b *registry.Value) bool {
	return a == b || a != nil && b != nil && a.Name == b.Name && a.Type == b.Type &&
		slices.EqualFunc(a.Values, b.Values, equalValue)
}

func copyNode(n *registry.Node) *registry.Node {
	return &registry.Node{Id: n.Id, Address: n.Address, Metadata: maps.Clone(n.Metadata)}
}

// copyEndpoints leaves out nil endpoints.
func copyEndpoints(endpoints []*registry.Endpoint) []*registry.Endpoint {
	if endpoints == nil {
		return nil
	}
	copies := make([]*registry.Endpoint, 0, len(endpoints))
	for _, e := range endpoints {
		if e == nil {
			continue
		}
		copies = append(copies, &registry.Endpoint{
			Name:     e.Name,
			Request:  copyValue(e.Request),
			Response: copyValue(e.Response),
			Metadata: maps.Clone(e.Metadata),
		})
	}
	return copies
}

// copyValue leaves out nil values within v.
func copyValue(v *registry.Value) *registry.Value {
	if v == nil {
		return nil
	}
	c := &registry.Value{Name: v.Name, Type: v.Type}
	if v.Values == nil {
		return c
	}
	c.Values = make([]*registry.Value, 0, len(v.Values))
	for _, inner := range v.Values {
		if inner != nil {
			c.Values = append(c.Values, copyValue(inner))
		}
	}
	return c
}
