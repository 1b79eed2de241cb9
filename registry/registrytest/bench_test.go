package registrytest_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest"
)

func BenchmarkMemoryRegistry(b *testing.B) {
	registrytest.Bench(b, registrytest.Backend{
		Open: func(opts ...registry.Option) (registry.Registry, error) {
			return registry.NewMemoryRegistry(opts...), nil
		},
		Lacks: memoryLacks,
	})
}

// What a registry costs depends on the size of the records, so that is part of the contract of Bench.
func TestTypicalRecordIsAboutOneKilobyte(t *testing.T) {
	s := registrytest.TypicalService("com.example.orders")
	s.Nodes = append(s.Nodes, registrytest.TypicalNode(s.Name, 77))
	value, err := json.Marshal(s)
	require.NoError(t, err)
	require.InDelta(t, 1024, len(value), 128)
	require.Len(t, s.Endpoints, 4)
	require.Len(t, s.Nodes[0].Metadata, 5)
}
