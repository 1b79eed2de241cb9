package interop

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var update = flag.Bool("update", false, "have the official plugins write the golden records again")

// shapes are services whose records differ in something that JSON or the key layout could treat in several ways.
func shapes() map[string]*registry.Service {
	bare := &registry.Service{Name: "bare", Nodes: []*registry.Node{{Id: "bare-1"}}}
	empty := &registry.Service{
		Name:      "empty",
		Metadata:  map[string]string{},
		Endpoints: []*registry.Endpoint{},
		Nodes:     []*registry.Node{{Id: "empty-1", Metadata: map[string]string{}}},
	}
	odd := service("größe/<&>", "1.0\u2028\"\\\t", "ü 1")
	odd.Metadata = map[string]string{"b": "<script>", "a": "&amp;", "": "", "\u0000": "nul", "z": "\U0001f600"}
	odd.Endpoints[0].Request.Values = []*registry.Value{{}, {Name: "list", Type: "[]string", Values: []*registry.Value{}}}
	odd.Endpoints[0].Metadata = nil
	return map[string]*registry.Service{
		"bare":  bare,
		"empty": empty,
		"odd":   odd,
		"full":  service("greeter", "1.2.3", "greeter-2a7c3b12-0f5e-4a43-9d58-3f2ab1c0a0a1"),
		"dots":  service("go.micro.api", "latest", "go.micro.api-1"),
		"slash": service("shop/cart", "1", "cart-1"),
	}
}

// writers are who writes the golden records. Go-micro v4.9 and before had the fields in another order.
var writers = map[string]string{"official": "go-micro-v4.11", "asim": "go-micro-v4.7"}

// Every registry writes, byte for byte, what the official plugin wrote on the same go-micro.
func TestRecordsAreTheSameByteForByte(t *testing.T) {
	s := startServer(t, usual)
	client := s.client(t)
	for _, kind := range append(slices.Clone(others), ours) { // the writers come first
		p := startPeer(t, kind, s.address())
		folder, writes := writers[kind]
		if !writes {
			folder = writers["official"]
		}
		for name, shape := range shapes() {
			p.register(t, shape, time.Minute)
			wrote := dump(t, client)
			p.deregister(t, shape)
			require.Empty(t, dump(t, client), "%s removes %s", kind, name)
			golden := filepath.Join("testdata", "records", folder, name+".txt")
			if *update && writes {
				require.NoError(t, os.WriteFile(golden, []byte(wrote), 0o600))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), wrote, "%s writes %s", kind, name)
		}
	}
}

// The two orders of fields say the same.
func TestTheOrderOfFieldsIsTheOnlyDifference(t *testing.T) {
	for name := range shapes() {
		var texts [][]string
		for _, folder := range writers {
			text, err := os.ReadFile(filepath.Join("testdata", "records", folder, name+".txt"))
			require.NoError(t, err)
			texts = append(texts, strings.SplitN(string(text), "\n", 2))
		}
		require.Equal(t, texts[0][0], texts[1][0])
		require.JSONEq(t, texts[0][1], texts[1][1])
	}
}

// dump returns every key and its value, each on a line.
func dump(tb testing.TB, client *clientv3.Client) string {
	tb.Helper()
	all, err := client.Get(soon(tb), "", clientv3.WithPrefix())
	require.NoError(tb, err)
	var text strings.Builder
	for _, kv := range all.Kvs {
		text.WriteString(string(kv.Key) + "\n" + string(kv.Value) + "\n")
	}
	return text.String()
}
