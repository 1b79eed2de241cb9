package etcd

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	utilregistry "go-micro.dev/v4/util/registry"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/registry/internal/gomicro"
)

const testKey = "/micro/registry/greeter/n1"

func fullService() *registry.Service {
	return &registry.Service{
		Name:     "greeter",
		Version:  "1.2",
		Metadata: map[string]string{"z": "<&>", "a": "ü"},
		Endpoints: []*registry.Endpoint{{
			Name: "Greeter.Hello",
			Request: &registry.Value{
				Name: "Request", Type: "Request", Values: []*registry.Value{{Name: "name", Type: "string"}},
			},
			Response: &registry.Value{Name: "Response", Type: "Response"},
			Metadata: map[string]string{"stream": "false"},
		}, {Name: "Greeter.Bare"}},
		Nodes: []*registry.Node{{Id: "n1", Address: "10.0.0.1:1", Metadata: map[string]string{"protocol": "grpc"}}},
	}
}

// recordOf returns the record of a service's only node.
func recordOf(s *registry.Service) *catalog.Record {
	return gomicro.FromService(s).Record(testKey, 0)
}

// handedOut returns what callers get of a record, by every way.
func handedOut(t *testing.T, r *catalog.Record) map[string]*registry.Service {
	t.Helper()
	c := catalog.New()
	changes := c.Put(r)
	value, err := catalog.Encode(r)
	require.NoError(t, err)
	decoded, err := Decode(DefaultPrefix, r.Key, value)
	require.NoError(t, err)
	return map[string]*registry.Service{
		"Services": gomicro.Services(c.Snapshot(r.Name))[0],
		"Result":   gomicro.Result(changes[0]).Service,
		"Decode":   decoded,
	}
}

// vandalize changes whatever can be reached from a service.
func vandalize(s *registry.Service) {
	s.Name, s.Version = "x", "x"
	scrawl(s.Metadata)
	for _, n := range s.Nodes {
		n.Id, n.Address = "x", "x"
		scrawl(n.Metadata)
	}
	for _, e := range s.Endpoints {
		e.Name = "x"
		scrawl(e.Metadata)
		deface(e.Request)
		deface(e.Response)
	}
	clear(s.Nodes)
	clear(s.Endpoints)
}

func scrawl(m map[string]string) {
	if m != nil {
		clear(m)
		m["x"] = "x"
	}
}

func deface(v *registry.Value) {
	if v == nil {
		return
	}
	v.Name, v.Type = "x", "x"
	for _, inner := range v.Values {
		deface(inner)
	}
	clear(v.Values)
}

func TestACallersServiceIsCopied(t *testing.T) {
	s := fullService()
	r := recordOf(s)
	vandalize(s)
	require.Equal(t, recordOf(fullService()), r)
}

func TestWhatIsHandedOutBelongsToTheCaller(t *testing.T) {
	r := recordOf(fullService())
	for way, s := range handedOut(t, r) {
		require.Equal(t, fullService(), s, way)
		vandalize(s)
	}
	for way, s := range handedOut(t, r) {
		require.Equal(t, fullService(), s, way)
	}
}

// Consumers append to what they got; that must not show in a neighbor's nodes.
func TestAppendedNodesStayWithTheCaller(t *testing.T) {
	c := catalog.New()
	for i, s := range []*registry.Service{
		{Name: "s", Version: "1", Nodes: []*registry.Node{{Id: "a"}}},
		{Name: "s", Version: "2", Nodes: []*registry.Node{{Id: "b"}}},
	} {
		c.Put(gomicro.FromService(s).Record(strconv.Itoa(i), 0))
	}
	services := gomicro.Services(c.Snapshot("s"))
	services[0].Nodes = append(services[0].Nodes, &registry.Node{Id: "x"})
	require.Len(t, services[1].Nodes, 1)
	require.Equal(t, "b", services[1].Nodes[0].Id)
}

func TestNilIsLeftOutOfACallersService(t *testing.T) {
	s := greeter(1)
	s.Endpoints = []*registry.Endpoint{
		nil, {Name: "e", Request: &registry.Value{Values: []*registry.Value{nil, {Name: "v"}, nil}}}, nil,
	}
	for way, s := range handedOut(t, recordOf(s)) {
		require.Equal(t, []*registry.Endpoint{
			{Name: "e", Request: &registry.Value{Values: []*registry.Value{{Name: "v"}}}},
		}, s.Endpoints, way)
		require.Len(t, utilregistry.Copy([]*registry.Service{s})[0].Endpoints, 1, "which panics on nil")
	}
}

func TestNilAndEmptyStayWhatTheyAre(t *testing.T) {
	for _, s := range []*registry.Service{
		{Name: "greeter", Nodes: []*registry.Node{{Id: "n1"}}},
		{Name: "greeter", Nodes: []*registry.Node{{Id: "n1"}}, Endpoints: []*registry.Endpoint{
			{Name: "e", Response: &registry.Value{Name: "r"}},
		}},
		{
			Name: "greeter", Metadata: map[string]string{}, Nodes: []*registry.Node{{Id: "n1", Metadata: map[string]string{}}},
			Endpoints: []*registry.Endpoint{
				{Metadata: map[string]string{}, Request: &registry.Value{Values: []*registry.Value{}}},
			},
		},
	} {
		for way, got := range handedOut(t, recordOf(s)) {
			require.Equal(t, s, got, way) // which tells nil from empty
		}
	}
}

func TestKeysThatBecomeOneAreThatAlways(t *testing.T) {
	s := greeter(1)
	s.Metadata = map[string]string{"\xff": "1", "\xfe": "2", "\xfd": "3"}
	for range 20 {
		require.Equal(t, map[string]string{"\ufffd": "1"}, gomicro.FromService(s).Metadata)
	}
}

func TestAValueIsTheOfficialPluginsByteForByte(t *testing.T) {
	for _, s := range []*registry.Service{fullService(), {Name: "bare", Nodes: []*registry.Node{{Id: "n"}}}} {
		official, err := json.Marshal(s)
		require.NoError(t, err)
		value, err := catalog.Encode(recordOf(s))
		require.NoError(t, err)
		require.Equal(t, string(official), string(value))
	}
}

func TestTheDeepestValuesThatRegisterTakesCanBeReadAgain(t *testing.T) {
	written := recordOf(nested(maxDepth))
	value, err := catalog.Encode(written)
	require.NoError(t, err)
	read, err := catalog.NewDecoder(testKeys(t)).Decode(testKey, 7, value)
	require.NoError(t, err)
	require.True(t, written.Equal(read))
}

func TestDecodeReadsAsTheRegistryDoes(t *testing.T) {
	value, err := catalog.Encode(recordOf(fullService()))
	require.NoError(t, err)
	for _, prefix := range []string{DefaultPrefix, "/micro/registry"} {
		read, err := Decode(prefix, testKey, value)
		require.NoError(t, err)
		require.Equal(t, fullService(), read)
	}
	_, err = Decode("/elsewhere/", testKey, value)
	require.ErrorIs(t, err, ErrMalformed)
	_, err = Decode(DefaultPrefix, testKey, []byte("junk"))
	require.ErrorIs(t, err, ErrMalformed)
	_, err = Decode("", testKey, value)
	require.ErrorIs(t, err, ErrOption)
}

func TestAServiceIsComparedBeforeItIsCopied(t *testing.T) {
	r := recordOf(fullService())
	require.True(t, (&offered{service: fullService()}).Same(r, 0))
	for name, change := range map[string]func(*registry.Service){
		"version":           func(s *registry.Service) { s.Version = "x" },
		"address":           func(s *registry.Service) { s.Nodes[0].Address = "x" },
		"node metadata":     func(s *registry.Service) { s.Nodes[0].Metadata["x"] = "x" },
		"metadata":          func(s *registry.Service) { s.Metadata = nil },
		"no endpoints":      func(s *registry.Service) { s.Endpoints = nil },
		"a nil endpoint":    func(s *registry.Service) { s.Endpoints[1] = nil },
		"endpoint name":     func(s *registry.Service) { s.Endpoints[0].Name = "x" },
		"endpoint metadata": func(s *registry.Service) { s.Endpoints[0].Metadata["x"] = "x" },
		"no request":        func(s *registry.Service) { s.Endpoints[0].Request = nil },
		"a request more":    func(s *registry.Service) { s.Endpoints[1].Request = &registry.Value{} },
		"response type":     func(s *registry.Service) { s.Endpoints[0].Response.Type = "x" },
		"a field":           func(s *registry.Service) { s.Endpoints[0].Request.Values[0].Type = "x" },
		"a field more":      func(s *registry.Service) { s.Endpoints[0].Response.Values = []*registry.Value{{}} },
		"a circle": func(s *registry.Service) {
			s.Endpoints[0].Request.Values = []*registry.Value{s.Endpoints[0].Request}
		},
	} {
		s := fullService()
		change(s)
		require.False(t, (&offered{service: s}).Same(r, 0), name)
	}
}
