// Package record makes and reads the records of chaos: each says whose it is, so that a checker can tell them apart.
package record

import (
	"encoding/json"
	"slices"
	"strings"

	"go-micro.dev/v4/registry"
)

// New is the service as it stands in one key.
func New(service, version, node, owner, seq string) *registry.Service {
	return &registry.Service{
		Name: service, Version: version,
		Metadata: map[string]string{"service": service},
		Nodes: []*registry.Node{{
			Id: node, Address: "10.0.0.1:80", Metadata: map[string]string{ownerKey: owner, SeqKey: seq},
		}},
	}
}

// Each record says whose it is, and which of its owner's.
const (
	ownerKey = "owner"
	SeqKey   = "seq"
)

// KeyOf returns the key of a service's only node, without the prefix.
func KeyOf(s *registry.Service) string { return s.Name + "/" + s.Nodes[0].Id }

// OwnerOf returns whose a record is.
func OwnerOf(s *registry.Service) string {
	if len(s.Nodes) == 0 || s.Nodes[0] == nil {
		return ""
	}
	return s.Nodes[0].Metadata[ownerKey]
}

// Parse returns a stored record, or nil for junk.
func Parse(value string) *registry.Service {
	var s registry.Service
	if json.Unmarshal([]byte(value), &s) != nil || len(s.Nodes) != 1 || s.Nodes[0] == nil {
		return nil
	}
	return &s
}

// MarkOf says which record a stored value is: its owner's name and which of its owner's it is.
func MarkOf(value string) string {
	s := Parse(value)
	if s == nil {
		return ""
	}
	return OwnerOf(s) + "#" + s.Nodes[0].Metadata[SeqKey]
}

// Canonical returns what makes two services equal to their users.
func Canonical(s *registry.Service) string {
	c := *s
	c.Metadata, c.Endpoints, c.Nodes = orNil(s.Metadata), s.Endpoints, nil
	if len(c.Endpoints) == 0 {
		c.Endpoints = nil
	}
	for _, n := range s.Nodes {
		copied := *n
		copied.Metadata = orNil(n.Metadata)
		c.Nodes = append(c.Nodes, &copied)
	}
	slices.SortFunc(c.Nodes, func(a, b *registry.Node) int { return strings.Compare(a.Id, b.Id) })
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings only
	}
	return string(text)
}

func orNil(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}

// ByKey returns the records of a lookup, by key, each by itself.
func ByKey(services []*registry.Service) map[string]string {
	records := map[string]string{}
	for _, s := range services {
		for _, n := range s.Nodes {
			one := *s
			one.Nodes = []*registry.Node{n}
			records[KeyOf(&one)] = Canonical(&one)
		}
	}
	return records
}

// OwnerIn returns whose a stored value is, "" for junk.
func OwnerIn(value string) string {
	if s := Parse(value); s != nil {
		return OwnerOf(s)
	}
	return ""
}

// ServiceOf returns the part of a key that names the service.
func ServiceOf(key string) string {
	service, _, _ := strings.Cut(key, "/")
	return service
}
