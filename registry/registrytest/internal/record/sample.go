package record

import (
	"fmt"

	"go-micro.dev/v4/registry"
)

// Sample makes a service that uses every field, with the given nodes.
func Sample(name, version string, ids ...string) *registry.Service {
	s := &registry.Service{
		Name:     name,
		Version:  version,
		Metadata: map[string]string{"team": "blue", "region": "eu"},
		Endpoints: []*registry.Endpoint{{
			Name:     "Greeter.Hello",
			Metadata: map[string]string{"stream": "false"},
			Request: &registry.Value{Name: "Request", Type: "Request", Values: []*registry.Value{
				{Name: "name", Type: "string"},
				{Name: "address", Type: "Address", Values: []*registry.Value{{Name: "street", Type: "string"}}},
			}},
			Response: &registry.Value{
				Name: "Response", Type: "Response", Values: []*registry.Value{{Name: "msg", Type: "string"}},
			},
		}, {
			Name:     "Greeter.Bye",
			Metadata: map[string]string{"stream": "true"},
			Request:  &registry.Value{Name: "Bye", Type: "Bye"},
			Response: &registry.Value{Name: "Gone", Type: "Gone"},
		}},
	}
	for i, id := range ids {
		s.Nodes = append(s.Nodes, Node(id, i))
	}
	return s
}

// Node makes node i of a sample.
func Node(id string, i int) *registry.Node {
	return &registry.Node{
		Id:       id,
		Address:  fmt.Sprintf("10.0.0.%d:8080", i+1),
		Metadata: map[string]string{"protocol": "grpc", "zone": "z" + id},
	}
}
