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

func equalNode(a, b *Node) bool {
	return a == b || a.Id == b.Id && a.Address == b.Address && maps.Equal(a.Metadata, b.Metadata)
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
