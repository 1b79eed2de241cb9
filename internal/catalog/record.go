package catalog

import (
	"maps"
	"slices"
	"strings"
)

// Record is one registration as it is stored: one node of one version of one service. A Record and what it points to
// must not change after it was given to a [Catalog]; records may share a Profile and metadata maps. Its Profile and
// Node are not nil.
type Record struct {
	// Key identifies the record in its store.
	Key string
	// Revision is the store's revision at which the record was written. Of several records of one node id one that has
	// the node's own key wins, see [Record.HasOwnKey], and of several such, or of several others, the one with the
	// highest revision.
	Revision int64
	// Lease is the id of what the record hangs on in its store, 0 for nothing. Together with the revision it tells one
	// writing of a key from those of another history.
	Lease int64
	// Name and Version are the service's.
	Name, Version string
	// Profile is what the record says about its service version.
	Profile *Profile
	// Node is the record's only node. Its Id is unique within the service.
	Node *Node
}

// Profile is what all nodes of a service version share: the fields of a [Service] besides its name, version and nodes.
type Profile struct {
	Metadata  map[string]string
	Endpoints []*Endpoint
}

// Equal reports whether p and q say the same. A nil map equals an empty one.
func (p *Profile) Equal(q *Profile) bool {
	return p == q || maps.Equal(p.Metadata, q.Metadata) &&
		slices.EqualFunc(p.Endpoints, q.Endpoints, equalEndpoint)
}

// Equal reports whether r and q describe the same node of the same version with the same fields, whatever their
// revisions, leases and keys.
func (r *Record) Equal(q *Record) bool {
	return r == q || r.Name == q.Name && r.Version == q.Version && r.Node.Equal(q.Node) && r.Profile.Equal(q.Profile)
}

// newer orders records by revision, and those of one transaction by key. Every record is newer than none.
func (r *Record) newer(q *Record) bool {
	return q == nil || r.Revision > q.Revision || r.Revision == q.Revision && r.Key > q.Key
}

// outranks reports whether r counts, rather than q, for the node id that both are of: what somebody put under another
// key doesn't hide a node that is there.
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

// Service returns the record as a service of one node, which shares everything with it.
func (r *Record) Service() *Service {
	return &Service{
		Name: r.Name, Version: r.Version, Metadata: r.Profile.Metadata, Endpoints: r.Profile.Endpoints,
		Nodes: []*Node{r.Node},
	}
}
