package bench

import (
	"fmt"

	"go-micro.dev/v4/registry"
)

// TypicalService is that of registrytest.
func TypicalService(name string) *registry.Service {
	s := &registry.Service{Name: name, Version: "latest"}
	for _, method := range []string{"Place", "Cancel", "Lookup", "Stream"} {
		s.Endpoints = append(s.Endpoints, &registry.Endpoint{
			Name: "Orders." + method,
			Request: &registry.Value{
				Name: method + "Req", Type: method + "Req",
				Values: []*registry.Value{{Name: "id", Type: "string"}},
			},
			Response: &registry.Value{Name: method + "Rsp", Type: method + "Rsp"},
			Metadata: map[string]string{},
		})
	}
	s.Endpoints[3].Metadata["stream"] = "true"
	return s
}

// TypicalNode is that of registrytest.
func TypicalNode(service string, i int) *registry.Node {
	return &registry.Node{
		Id:      fmt.Sprintf("%s-%08x-5d1f-4c2e-9a7b-0242ac110002", service, i),
		Address: fmt.Sprintf("10.%d.%d.%d:8080", i>>16&255, i>>8&255, i&255),
		Metadata: map[string]string{
			"broker": "http", "protocol": "mucp", "registry": "etcd", "server": "mucp", "transport": "http",
		},
	}
}

// typical returns a service with n of its nodes, from the given one on.
func typical(name string, from, n int) *registry.Service {
	s := TypicalService(name)
	for i := range n {
		s.Nodes = append(s.Nodes, TypicalNode(name, from+i))
	}
	return s
}
