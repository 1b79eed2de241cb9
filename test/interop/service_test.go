package interop

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// service returns one as a go-micro server describes itself.
func service(name, version string, ids ...string) *registry.Service {
	s := &registry.Service{
		Name:     name,
		Version:  version,
		Metadata: map[string]string{"team": "blue"},
		Endpoints: []*registry.Endpoint{{
			Name: "Greeter.Hello",
			Request: &registry.Value{
				Name: "Request", Type: "Request", Values: []*registry.Value{{Name: "name", Type: "string"}},
			},
			Response: &registry.Value{Name: "Response", Type: "Response"},
			Metadata: map[string]string{"stream": "false"},
		}},
	}
	for i, id := range ids {
		s.Nodes = append(s.Nodes, &registry.Node{
			Id: id, Address: fmt.Sprintf("10.0.0.%d:8080", i+1), Metadata: map[string]string{"zone": "a"},
		})
	}
	return s
}

func idsOf(services []*registry.Service) []string {
	var ids []string
	for _, s := range services {
		for _, n := range s.Nodes {
			ids = append(ids, n.Id+"@"+s.Version)
		}
	}
	slices.Sort(ids)
	return ids
}

// open returns a registry in this process, which is closed when the test ends.
func open(tb testing.TB, opts ...registry.Option) *etcd.Registry {
	tb.Helper()
	opts = append([]registry.Option{registry.Logger(newLog())}, opts...)
	r, err := etcd.New(opts...)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = r.Close() })
	return r
}

// recorder is a go-micro logger that keeps what it is given.
type recorder struct {
	logger.Logger
	text tail
}

func newLog() *recorder { return &recorder{Logger: logger.NewLogger()} }

func (r *recorder) Logf(_ logger.Level, format string, args ...any) {
	_, _ = fmt.Fprintf(&r.text, format+"\n", args...)
}

func (r *recorder) Log(_ logger.Level, args ...any) { _, _ = fmt.Fprintln(&r.text, args...) }

func mustJSON(tb testing.TB, v any) []byte {
	tb.Helper()
	b, err := json.Marshal(v)
	require.NoError(tb, err)
	return b
}
