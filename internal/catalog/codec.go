package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
)

// ErrMalformed says that a stored value is no record of the key it was found at.
var ErrMalformed = errors.New("malformed record")

// Encode returns the stored form of a record: the JSON of a service with one node, byte for byte what the official
// plugin writes.
func Encode(r *Record) ([]byte, error) { return json.Marshal(r.Service()) }

// Decoder reads stored records. The records of a service repeat each other, so it keeps what it has decoded by its
// bytes, and equal parts are decoded and kept once. It is for one goroutine at a time.
type Decoder struct {
	keys     Keyspace
	profiles map[string]*Profile
	metadata map[string]map[string]string
	size     int // of the bytes that both know things by
}

// NewDecoder returns one for the records below a prefix.
func NewDecoder(keys Keyspace) *Decoder {
	return &Decoder{
		keys:     keys,
		profiles: make(map[string]*Profile),
		metadata: make(map[string]map[string]string),
	}
}

// Clone returns a Decoder that shares what d has kept so far.
func (d *Decoder) Clone() *Decoder {
	return &Decoder{keys: d.keys, profiles: maps.Clone(d.profiles), metadata: maps.Clone(d.metadata), size: d.size}
}

// makeRoom sees to it that what is about to be kept has room, if need be by forgetting what was kept before. The
// records go on sharing that among themselves.
func (d *Decoder) makeRoom(size int) {
	if len(d.profiles) >= maxShared || len(d.metadata) >= maxShared || d.size+size > maxSharedTotal {
		clear(d.profiles)
		clear(d.metadata)
		d.size = 0
	}
	d.size += size
}

// Bounds of what a Decoder keeps: parts that are huge, or differ in every record, are not worth it.
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

// Decode reads the record at a key. Its error wraps [ErrMalformed]. Nil nodes, endpoints and values are stripped,
// because go-micro's own copying panics on them.
func (d *Decoder) Decode(key string, revision int64, value []byte) (*Record, error) {
	var s storedService
	if err := json.Unmarshal(value, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	node, err := s.onlyNode()
	if err != nil {
		return nil, err
	}
	if !IsName(s.Name) || d.keys.Dir(s.Name) != d.keys.DirOf(key) {
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
	return &Record{
		Key:      key,
		Revision: revision,
		Name:     s.Name,
		Version:  s.Version,
		Profile:  profile,
		Node:     &Node{Id: node.ID, Address: node.Address, Metadata: metadata},
	}, nil
}

// IsNotice reports whether a value is the notice of a node that is out of service, at a key for notices.
func (d *Decoder) IsNotice(key string, value []byte) bool {
	if _, ok := d.keys.OfNotice(key); !ok {
		return false
	}
	_, err := DecodeNotice(value)
	return err == nil
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

func (d *Decoder) sharedMetadata(raw json.RawMessage) (map[string]string, error) {
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

func (d *Decoder) sharedProfile(metadata, endpoints json.RawMessage) (*Profile, error) {
	both := string(metadata) + "\n" + string(endpoints)
	if p, ok := d.profiles[both]; ok {
		return p, nil
	}
	p := &Profile{}
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

func stripEndpoints(endpoints []*Endpoint) []*Endpoint {
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

func stripValue(v *Value) {
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
