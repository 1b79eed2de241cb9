package etcd

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	utilregistry "go-micro.dev/v4/util/registry"

	"github.com/micro-etcd/micro-etcd/registry/catalogue"
)

const testKey = "/micro/registry/greeter/n1"

func fullService() *registry.Service {
	return &registry.Service{
		Name:     "greeter",
		Version:  "1.2",
		Metadata: map[string]string{"z": "<&>", "a": "ü"},
		Endpoints: []*registry.Endpoint{{
			Name:     "Greeter.Hello",
			Request:  &registry.Value{Name: "Request", Type: "Request", Values: []*registry.Value{{Name: "name", Type: "string"}}},
			Response: &registry.Value{Name: "Response", Type: "Response"},
			Metadata: map[string]string{"stream": "false"},
		}, {Name: "Greeter.Bare"}},
		Nodes: []*registry.Node{{Id: "n1", Address: "10.0.0.1:1", Metadata: map[string]string{"protocol": "grpc"}}},
	}
}

// recordOf returns the record of a service's only node.
func recordOf(t *testing.T, s *registry.Service) *catalogue.Record {
	t.Helper()
	r := catalogue.NewRecord(testKey, s, s.Nodes[0])
	return r
}

// nested returns a service with values that are depth levels deep.
func nested(depth int) *registry.Service {
	v := &registry.Value{Values: []*registry.Value{}}
	for range depth - 1 {
		v = &registry.Value{Values: []*registry.Value{v}}
	}
	s := greeter(1)
	s.Endpoints = []*registry.Endpoint{{Name: "Greeter.Deep", Request: v}}
	return s
}

func TestAValueIsTheOfficialPluginsByteForByte(t *testing.T) {
	full := fullService()
	value, err := encode(recordOf(t, full))
	require.NoError(t, err)
	golden := `{"name":"greeter","version":"1.2","metadata":{"a":"ü","z":"\u003c\u0026\u003e"},"endpoints":[` +
		`{"request":{"name":"Request","type":"Request","values":[{"name":"name","type":"string","values":null}]},` +
		`"response":{"name":"Response","type":"Response","values":null},"metadata":{"stream":"false"},"name":"Greeter.Hello"},` +
		`{"request":null,"response":null,"metadata":null,"name":"Greeter.Bare"}],` +
		`"nodes":[{"metadata":{"protocol":"grpc"},"id":"n1","address":"10.0.0.1:1"}]}`
	require.Equal(t, golden, string(value))

	for _, s := range []*registry.Service{full, {Name: "bare", Nodes: []*registry.Node{{Id: "n"}}}} {
		official, err := json.Marshal(s)
		require.NoError(t, err)
		value, err := encode(recordOf(t, s))
		require.NoError(t, err)
		require.Equal(t, string(official), string(value))
	}
}

func TestDecodeReadsWhatEncodeWrote(t *testing.T) {
	full := fullService()
	written := recordOf(t, full)
	value, err := encode(written)
	require.NoError(t, err)
	read, err := newDecoder(testKeys(t)).decode(testKey, 7, value)
	require.NoError(t, err)
	written.Revision = 7
	require.Equal(t, written, read)
}

func TestDecodeTolerates(t *testing.T) {
	for name, value := range map[string]string{
		"unknown fields":     `{"name":"greeter","x":{"y":[1]},"nodes":[{"id":"n1","weight":1}]}`,
		"null maps":          `{"name":"greeter","metadata":null,"endpoints":null,"nodes":[{"id":"n1","metadata":null}]}`,
		"null nodes":         `{"name":"greeter","nodes":[null,{"id":"n1"},null]}`,
		"no optional fields": `{"nodes":[{"id":"n1"}],"name":"greeter"}`,
		"spaces":             " {\n \"name\" : \"greeter\" , \"nodes\" : [ { \"id\" : \"n1\" } ] } \n",
	} {
		t.Run(name, func(t *testing.T) {
			r, err := newDecoder(testKeys(t)).decode(testKey, 7, []byte(value))
			require.NoError(t, err)
			require.Equal(t, &catalogue.Record{
				Key: testKey, Revision: 7, Name: "greeter", Profile: &catalogue.Profile{}, Node: &registry.Node{Id: "n1"},
			}, r)
		})
	}
}

func TestDecodeStripsNilEndpointsAndValues(t *testing.T) {
	value := `{"name":"greeter","nodes":[{"id":"n1"}],"endpoints":[null,{"name":"e","request":{"name":"r","values":[null,{"name":"v","values":[null]},null]},
		"response":{"values":[null]},"metadata":null},{"response":null},null]}`
	r, err := newDecoder(testKeys(t)).decode(testKey, 7, []byte(value))
	require.NoError(t, err)
	require.Equal(t, []*registry.Endpoint{{
		Name:     "e",
		Request:  &registry.Value{Name: "r", Values: []*registry.Value{{Name: "v", Values: []*registry.Value{}}}},
		Response: &registry.Value{Values: []*registry.Value{}},
	}, {}}, r.Profile.Endpoints)
}

func TestASlashInTheNameIsADashInTheDirectory(t *testing.T) {
	for _, name := range []string{"shop/cart", "shop-cart"} {
		r, err := newDecoder(testKeys(t)).decode("/micro/registry/shop-cart/n1", 7, []byte(`{"name":"`+name+`","nodes":[{"id":"n1"}]}`))
		require.NoError(t, err)
		require.Equal(t, name, r.Name)
	}
}

func TestDecodeRefuses(t *testing.T) {
	deep := strings.Repeat(`{"values":[`, 6000) + strings.Repeat(`]}`, 6000)
	for name, value := range map[string]string{
		"nothing":             "",
		"not JSON":            "hello",
		"half of a record":    `{"name":"greeter","nodes":[{"id":"n1"}`,
		"two records":         `{"name":"greeter","nodes":[{"id":"n1"}]}{}`,
		"null":                "null",
		"a list":              "[]",
		"a number":            "1",
		"no node":             `{"name":"greeter"}`,
		"an empty list":       `{"name":"greeter","nodes":[]}`,
		"only a null node":    `{"name":"greeter","nodes":[null]}`,
		"two nodes":           `{"name":"greeter","nodes":[{"id":"n1"},{"id":"n2"}]}`,
		"no node id":          `{"name":"greeter","nodes":[{"address":"a"}]}`,
		"an empty node id":    `{"name":"greeter","nodes":[{"id":""}]}`,
		"no name":             `{"nodes":[{"id":"n1"}]}`,
		"another name":        `{"name":"other","nodes":[{"id":"n1"}]}`,
		"name of a directory": `{"name":"..","nodes":[{"id":"n1"}]}`,
		"numbers as text":     `{"name":1,"nodes":[{"id":"n1"}]}`,
		"bad node metadata":   `{"name":"greeter","nodes":[{"id":"n1","metadata":{"a":1}}]}`,
		"bad metadata":        `{"name":"greeter","metadata":[],"nodes":[{"id":"n1"}]}`,
		"bad endpoints":       `{"name":"greeter","endpoints":{},"nodes":[{"id":"n1"}]}`,
		"nodes in an object":  `{"name":"greeter","nodes":{"id":"n1"}}`,
		"too deep":            `{"name":"greeter","nodes":[{"id":"n1"}],"endpoints":[{"request":` + deep + `}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			d := newDecoder(testKeys(t))
			for range 2 {
				_, err := d.decode(testKey, 7, []byte(value))
				require.ErrorIs(t, err, ErrMalformed)
			}
		})
	}
}

func TestDecodeRefusesAKeyOfAnotherDirectory(t *testing.T) {
	value := []byte(`{"name":"greeter","nodes":[{"id":"n1"}]}`)
	for _, key := range []string{"/micro/registry/other/n1", "/micro/registry/greeter", "/other/greeter/n1", "/micro/registry//greeter/n1", ""} {
		_, err := newDecoder(testKeys(t)).decode(key, 7, value)
		require.ErrorIs(t, err, ErrMalformed, key)
	}
}

func TestDeepValuesCanBeCopiedAndWrittenAgain(t *testing.T) {
	deep := strings.Repeat(`{"values":[`, 4000) + strings.Repeat(`]}`, 4000)
	r, err := newDecoder(testKeys(t)).decode(testKey, 7, []byte(`{"name":"greeter","nodes":[{"id":"n1"}],"endpoints":[{"request":`+deep+`}]}`))
	require.NoError(t, err)
	requireUsable(t, r)
}

func TestTheDeepestValuesThatRegisterTakesCanBeReadAgain(t *testing.T) {
	written := recordOf(t, nested(catalogue.MaxDepth))
	value, err := encode(written)
	require.NoError(t, err)
	read, err := newDecoder(testKeys(t)).decode(testKey, 7, value)
	require.NoError(t, err)
	require.True(t, written.Equal(read))
}

func TestRegisterRefusesWhatNobodyCouldRead(t *testing.T) {
	circle := nested(1)
	circle.Endpoints[0].Request.Values = []*registry.Value{circle.Endpoints[0].Request}
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		for range 2 {
			for _, bad := range []*registry.Service{nested(catalogue.MaxDepth + 1), circle} {
				err := r.Register(bad, registry.RegisterTTL(testTTL))
				require.ErrorIs(t, err, ErrMalformed)
				require.NotErrorIs(t, err, ErrPending)
				require.ErrorContains(t, err, `endpoint "Greeter.Deep"`)
			}
			mustRegister(t, r, greeter(1), testTTL) // and once more with the record before
		}
		require.True(t, e.has(greeter(1)), "the record before stays")
		require.NoError(t, r.Deregister(circle))
		require.False(t, e.has(greeter(1)))
	})
}

func TestEqualPartsAreDecodedOnce(t *testing.T) {
	d := newDecoder(testKeys(t))
	value := func(id, metadata, profile string) []byte {
		return fmt.Appendf(nil, `{"name":"greeter",%s,"nodes":[{"id":%q,"metadata":%s}]}`, profile, id, metadata)
	}
	decode := func(value []byte) *catalogue.Record {
		r, err := d.decode(testKey, 7, value)
		require.NoError(t, err)
		return r
	}
	profile := `"metadata":{"a":"b"},"endpoints":[{"name":"e"}]`
	first := decode(value("n1", `{"m":"1"}`, profile))
	second := decode(value("n2", `{"m":"1"}`, profile))
	require.Same(t, first.Profile, second.Profile)
	first.Node.Metadata["shared"] = "yes" // no map can be compared
	require.Equal(t, "yes", second.Node.Metadata["shared"])

	other := decode(value("n3", `{"m":"2"}`, `"metadata":{"a":"b"},"endpoints":[{"name":"f"}]`))
	require.NotSame(t, first.Profile, other.Profile)
	require.Equal(t, map[string]string{"m": "2"}, other.Node.Metadata)
	require.Equal(t, "e", first.Profile.Endpoints[0].Name)
}

func TestSharingIsBounded(t *testing.T) {
	for name, different := range map[string]string{
		"node metadata":    `{"name":"greeter","nodes":[{"id":"n1","metadata":{"n":"%d"}}]}`,
		"service metadata": `{"name":"greeter","metadata":{"v":"%d"},"nodes":[{"id":"n1"}]}`,
		"endpoints":        `{"name":"greeter","endpoints":[{"name":"%d"}],"nodes":[{"id":"n1"}]}`,
	} {
		d := newDecoder(testKeys(t))
		var records []*catalogue.Record
		for i := range 3 * maxShared {
			r, err := d.decode(testKey, 7, fmt.Appendf(nil, different, i))
			require.NoError(t, err)
			require.LessOrEqual(t, len(d.profiles), maxShared, name)
			require.LessOrEqual(t, len(d.metadata), maxShared, name)
			records = append(records, r)
		}
		for i, r := range records { // what was forgotten lives on in its records
			value, err := encode(r)
			require.NoError(t, err)
			require.Contains(t, string(value), fmt.Sprintf("%q", fmt.Sprint(i)))
		}
	}
}

func TestManyLargePartsAreNotAllKept(t *testing.T) {
	d := newDecoder(testKeys(t))
	large := strings.Repeat("x", maxSharedSize/2)
	for i := range 2 * maxSharedTotal / len(large) {
		_, err := d.decode(testKey, 7, fmt.Appendf(nil, `{"name":"greeter","metadata":{"v":"%d%s"},"nodes":[{"id":"n1","metadata":{"n":"%d%s"}}]}`, i, large, i, large))
		require.NoError(t, err)
		kept := 0
		for part := range d.profiles {
			kept += len(part)
		}
		for part := range d.metadata {
			kept += len(part)
		}
		require.Equal(t, kept, d.size)
		require.LessOrEqual(t, kept, maxSharedTotal)
	}
}

func TestHugePartsAreNotKept(t *testing.T) {
	d := newDecoder(testKeys(t))
	huge := strings.Repeat("x", maxSharedSize)
	value := `{"name":"greeter","metadata":{"v":"` + huge + `"},"nodes":[{"id":"n1","metadata":{"n":"` + huge + `"}}]}`
	for range 2 {
		r, err := d.decode(testKey, 7, []byte(value))
		require.NoError(t, err)
		require.Len(t, r.Node.Metadata["n"], maxSharedSize)
		require.Empty(t, d.metadata)
		require.Empty(t, d.profiles)
	}
}

// requireUsable checks that a decoded record survives what consumers do with it.
func requireUsable(t *testing.T, r *catalogue.Record) {
	t.Helper()
	s := r.Service()
	require.Len(t, utilregistry.Copy([]*registry.Service{s})[0].Nodes, 1)
	value, err := encode(r)
	require.NoError(t, err)
	again, err := newDecoder(testKeys(t)).decode(r.Key, r.Revision, value)
	require.NoError(t, err)
	require.True(t, r.Equal(again), "%s", value)
	twice, err := encode(again)
	require.NoError(t, err)
	require.Equal(t, string(value), string(twice))
	require.NotNil(t, r.Node)
	require.NotEmpty(t, r.Node.Id)
}

func FuzzDecode(f *testing.F) {
	full, err := json.Marshal(fullService())
	require.NoError(f, err)
	f.Add(testKey, full)
	for _, value := range []string{
		"", "null", "{}", `{"name":"greeter","nodes":[{"id":"n1"}]}`, `{"name":"greeter","nodes":[null,{"id":"n1"}]}`,
		`{"name":"greeter","endpoints":[null,{"request":{"values":[null,{}]}}],"nodes":[{"id":"n1"}]}`,
		`{"name":"greeter","metadata":{"a":"b","a":"c"},"metadata":null,"nodes":[{"id":"n1"}]}`,
		`{"NAME":"greeter","Nodes":[{"ID":"\ud800"}]}`,
		`{"name":"greeter","nodes":[{"id":"n1"}],"nodes":[{"address":"a"}]}`, `{"name":"greeter","nodes":[{"id":"n1","metadata":null}]}{}`,
		`{"name":"greeter","endpoints":[{"request":` + strings.Repeat(`{"values":[`, 50) + strings.Repeat(`]}`, 50) + `}],"nodes":[{"id":"n1"}]}`,
		`{"name":"gre\u0000eter","nodes":[{"id":"\u001b[31m","address":"<&>\u2028"}]}`, `{"name":"greeter","nodes":[{"id":"n1"},{"id":"n2"}]}`,
		`{"name":"greeter","metadata":{"":""},"endpoints":[{},{"metadata":{}},{"request":{"values":[]}}],"nodes":[{"id":"/../"}]}`,
		"\xef\xbb\xbf{}", `{"name":"greeter","nodes":[{"id":"\xff"}]}`, "[[[[", "1e999999", `{"name":"..","nodes":[{"id":"n1"}]}`,
	} {
		f.Add(testKey, []byte(value))
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		d := newDecoder(testKeys(t))
		r, err := d.decode(key, 7, value)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			return
		}
		requireUsable(t, r)
		again, err := d.decode(key, 8, value)
		require.NoError(t, err)
		require.True(t, r.Equal(again))
	})
}

func TestDecodeReadsAsTheRegistryDoes(t *testing.T) {
	full := fullService()
	value, err := encode(recordOf(t, full))
	require.NoError(t, err)
	for _, prefix := range []string{DefaultPrefix, "/micro/registry"} {
		read, err := Decode(prefix, testKey, value)
		require.NoError(t, err)
		require.Equal(t, full, read)
	}
	_, err = Decode("/elsewhere/", testKey, value)
	require.ErrorIs(t, err, ErrMalformed)
	_, err = Decode(DefaultPrefix, testKey, []byte("junk"))
	require.ErrorIs(t, err, ErrMalformed)
	_, err = Decode("", testKey, value)
	require.ErrorIs(t, err, ErrOption)
}
