package etcd

import (
	"encoding/json"
	"fmt"
	"maps"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/catalogue"
)

// encode returns the stored form of a record: the JSON of a registry.Service with one node,
// byte for byte what the official plugin writes.
func encode(r *catalogue.Record) ([]byte, error) {
	return json.Marshal(&registry.Service{
		Name:      r.Name,
		Version:   r.Version,
		Metadata:  r.Profile.Metadata,
		Endpoints: r.Profile.Endpoints,
		Nodes:     []*registry.Node{r.Node},
	})
}

// Decode reads what is stored at a key as the registry itself does, for tools that look into etcd
// on their own. prefix is the registry's, see [Prefix]. The result has one node and belongs to the caller.
//
// Errors: ErrMalformed when the registry would skip the value, ErrOption for an empty prefix.
func Decode(prefix, key string, value []byte) (*registry.Service, error) {
	keys, err := newKeyspace(prefix)
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	record, err := newDecoder(keys).decode(key, 0, value)
	if err != nil {
		return nil, err
	}
	return record.Service(), nil
}

// decoder reads stored records. The records of a service repeat each other, so it keeps
// what it has decoded by its bytes, and equal parts are decoded and kept once.
// It is for one goroutine at a time.
type decoder struct {
	keys     keyspace
	profiles map[string]*catalogue.Profile
	metadata map[string]map[string]string
	size     int // of the bytes that both know things by
}

func newDecoder(keys keyspace) *decoder {
	return &decoder{
		keys:     keys,
		profiles: make(map[string]*catalogue.Profile),
		metadata: make(map[string]map[string]string),
	}
}

// clone returns a decoder that shares what d has kept so far.
func (d *decoder) clone() *decoder {
	return &decoder{keys: d.keys, profiles: maps.Clone(d.profiles), metadata: maps.Clone(d.metadata), size: d.size}
}

// makeRoom sees to it that what is about to be kept has room, if need be by forgetting what was
// kept before. The records go on sharing that among themselves.
func (d *decoder) makeRoom(size int) {
	if len(d.profiles) >= maxShared || len(d.metadata) >= maxShared || d.size+size > maxSharedTotal {
		clear(d.profiles)
		clear(d.metadata)
		d.size = 0
	}
	d.size += size
}

// Bounds of what a decoder keeps: parts that are huge, or differ in every record, are not
// worth it.
const (
	maxShared      = 1024
	maxSharedSize  = 64 << 10
	maxSharedTotal = 4 << 20
)

type storedService struct {
	Name      string          `json:"name"`
	Version   string          `json:"version"`
	Metadata  json.RawMessage `json:"metadata"`
	Endpoints json.RawMessage `json:"endpoints"`
	Nodes     []*storedNode   `json:"nodes"`
}

type storedNode struct {
	Metadata json.RawMessage `json:"metadata"`
	ID       string          `json:"id"`
	Address  string          `json:"address"`
}

// decode reads the record at key. Nil nodes, endpoints and values are stripped, because
// go-micro's own copying panics on them.
func (d *decoder) decode(key string, revision int64, value []byte) (*catalogue.Record, error) {
	var s storedService
	if err := json.Unmarshal(value, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	node, err := s.onlyNode()
	if err != nil {
		return nil, err
	}
	if checkServiceName(s.Name) != nil || d.keys.dir(s.Name) != d.keys.dirOf(key) {
		return nil, fmt.Errorf("%w: service name %q does not belong to this key", ErrMalformed, s.Name)
	}
	metadata, err := d.sharedMetadata(node.Metadata)
	if err != nil {
		return nil, err
	}
	profile, err := d.sharedProfile(s.Metadata, s.Endpoints)
	if err != nil {
		return nil, err
	}
	return &catalogue.Record{
		Key:      key,
		Revision: revision,
		Name:     s.Name,
		Version:  s.Version,
		Profile:  profile,
		Node:     &registry.Node{Id: node.ID, Address: node.Address, Metadata: metadata},
	}, nil
}

func (s *storedService) onlyNode() (*storedNode, error) {
	var node *storedNode
	for _, n := range s.Nodes {
		switch {
		case n == nil:
		case node != nil:
			return nil, fmt.Errorf("%w: more than one node", ErrMalformed)
		default:
			node = n
		}
	}
	if node == nil || node.ID == "" {
		return nil, fmt.Errorf("%w: no node with an id", ErrMalformed)
	}
	return node, nil
}

func (d *decoder) sharedMetadata(raw json.RawMessage) (map[string]string, error) {
	if m, ok := d.metadata[string(raw)]; ok || len(raw) == 0 {
		return m, nil
	}
	var m map[string]string
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("%w: metadata: %w", ErrMalformed, err)
	}
	if len(raw) <= maxSharedSize {
		d.makeRoom(len(raw))
		d.metadata[string(raw)] = m
	}
	return m, nil
}

func (d *decoder) sharedProfile(metadata, endpoints json.RawMessage) (*catalogue.Profile, error) {
	both := string(metadata) + "\n" + string(endpoints)
	if p, ok := d.profiles[both]; ok {
		return p, nil
	}
	p := &catalogue.Profile{}
	var err error
	if p.Metadata, err = d.sharedMetadata(metadata); err != nil {
		return nil, err
	}
	if len(endpoints) > 0 {
		if err := json.Unmarshal(endpoints, &p.Endpoints); err != nil {
			return nil, fmt.Errorf("%w: endpoints: %w", ErrMalformed, err)
		}
	}
	p.Endpoints = stripEndpoints(p.Endpoints)
	if len(both) <= maxSharedSize {
		d.makeRoom(len(both))
		d.profiles[both] = p
	}
	return p, nil
}

func stripEndpoints(endpoints []*registry.Endpoint) []*registry.Endpoint {
	kept := endpoints[:0]
	for _, e := range endpoints {
		if e == nil {
			continue
		}
		stripValue(e.Request)
		stripValue(e.Response)
		kept = append(kept, e)
	}
	return kept
}

func stripValue(v *registry.Value) {
	if v == nil {
		return
	}
	kept := v.Values[:0]
	for _, inner := range v.Values {
		if inner != nil {
			stripValue(inner)
			kept = append(kept, inner)
		}
	}
	v.Values = kept
}
