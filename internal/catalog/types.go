package catalog

import (
	"maps"
	"slices"
)

// Service, Node, Endpoint and Value have the fields of go-micro's types of the same names (its package registry), and
// the same JSON.

// Service is one version of a service with some of its nodes.
type Service struct {
	Name      string            `json:"name"`
	Version   string            `json:"version"`
	Metadata  map[string]string `json:"metadata"`
	Endpoints []*Endpoint       `json:"endpoints"`
	Nodes     []*Node           `json:"nodes"`
}

// Node is an instance of a service. A pointer to one can be converted to a pointer to go-micro's.
type Node struct {
	Metadata map[string]string `json:"metadata"`
	Id       string            `json:"id"`
	Address  string            `json:"address"`
}

// Endpoint is something that a service can be asked for.
type Endpoint struct {
	Request  *Value            `json:"request"`
	Response *Value            `json:"response"`
	Metadata map[string]string `json:"metadata"`
	Name     string            `json:"name"`
}

// Value describes the type of a request or response.
type Value struct {
	Name   string   `json:"name"`
	Type   string   `json:"type"`
	Values []*Value `json:"values"`
}

// Record returns the record of one of the service's nodes, which shares everything with it.
func (s *Service) Record(key string, node int) *Record {
	return &Record{
		Key: key, Name: s.Name, Version: s.Version,
		Profile: &Profile{Metadata: s.Metadata, Endpoints: s.Endpoints}, Node: s.Nodes[node],
	}
}

// Equal reports whether n and o say the same. A nil map equals an empty one.
func (n *Node) Equal(o *Node) bool {
	return n == o || n.Id == o.Id && n.Address == o.Address && maps.Equal(n.Metadata, o.Metadata)
}

func equalEndpoint(a, b *Endpoint) bool {
	return a == b || a != nil && b != nil && a.Name == b.Name &&
		maps.Equal(a.Metadata, b.Metadata) &&
		equalValue(a.Request, b.Request) && equalValue(a.Response, b.Response)
}

func equalValue(a, b *Value) bool {
	return a == b || a != nil && b != nil && a.Name == b.Name && a.Type == b.Type &&
		slices.EqualFunc(a.Values, b.Values, equalValue)
}
