package catalog

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const testKey = "/micro/registry/greeter/n1"

var testKeys = Keyspace{"/micro/registry/"}

func fullService() *Service {
	return &Service{
		Name:     "greeter",
		Version:  "1.2",
		Metadata: map[string]string{"z": "<&>", "a": "ü"},
		Endpoints: []*Endpoint{{
			Name:     "Greeter.Hello",
			Request:  &Value{Name: "Request", Type: "Request", Values: []*Value{{Name: "name", Type: "string"}}},
			Response: &Value{Name: "Response", Type: "Response"},
			Metadata: map[string]string{"stream": "false"},
		}, {Name: "Greeter.Bare"}},
		Nodes: []*Node{{Id: "n1", Address: "10.0.0.1:1", Metadata: map[string]string{"protocol": "grpc"}}},
	}
}

// recordOf returns the record of a service's only node.
func recordOf(s *Service) *Record { return s.Record(testKey, 0) }

func TestAValueIsTheOfficialPluginsByteForByte(t *testing.T) {
	full := fullService()
	value, err := Encode(recordOf(full))
	require.NoError(t, err)
	golden := `{"name":"greeter","version":"1.2","metadata":{"a":"ü","z":"\u003c\u0026\u003e"},"endpoints":[` +
		`{"request":{"name":"Request","type":"Request","values":[{"name":"name","type":"string","values":null}]},` +
		`"response":{"name":"Response","type":"Response","values":null},"metadata":{"stream":"false"},` +
		`"name":"Greeter.Hello"},` +
		`{"request":null,"response":null,"metadata":null,"name":"Greeter.Bare"}],` +
		`"nodes":[{"metadata":{"protocol":"grpc"},"id":"n1","address":"10.0.0.1:1"}]}`
	require.Equal(t, golden, string(value))
}

func TestDecodeReadsWhatEncodeWrote(t *testing.T) {
	full := fullService()
	written := recordOf(full)
	value, err := Encode(written)
	require.NoError(t, err)
	read, err := NewDecoder(testKeys).Decode(testKey, 7, value)
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
			r, err := NewDecoder(testKeys).Decode(testKey, 7, []byte(value))
			require.NoError(t, err)
			require.Equal(t, &Record{
				Key: testKey, Revision: 7, Name: "greeter", Profile: &Profile{}, Node: &Node{Id: "n1"},
			}, r)
		})
	}
}

func TestDecodeStripsNilEndpointsAndValues(t *testing.T) {
	value := `{"name":"greeter","nodes":[{"id":"n1"}],"endpoints":[null,{"name":"e","request":
		{"name":"r","values":[null,{"name":"v","values":[null]},null]},"response":{"values":[null]},"metadata":null},
		{"response":null},null]}`
	r, err := NewDecoder(testKeys).Decode(testKey, 7, []byte(value))
	require.NoError(t, err)
	require.Equal(t, []*Endpoint{{
		Name:     "e",
		Request:  &Value{Name: "r", Values: []*Value{{Name: "v", Values: []*Value{}}}},
		Response: &Value{Values: []*Value{}},
	}, {}}, r.Profile.Endpoints)
}

func TestASlashInTheNameIsADashInTheDirectory(t *testing.T) {
	for _, name := range []string{"shop/cart", "shop-cart"} {
		r, err := NewDecoder(testKeys).Decode(
			"/micro/registry/shop-cart/n1", 7, []byte(`{"name":"`+name+`","nodes":[{"id":"n1"}]}`),
		)
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
			d := NewDecoder(testKeys)
			for range 2 {
				_, err := d.Decode(testKey, 7, []byte(value))
				require.ErrorIs(t, err, ErrMalformed)
			}
		})
	}
}

func TestDecodeRefusesAKeyOfAnotherDirectory(t *testing.T) {
	value := []byte(`{"name":"greeter","nodes":[{"id":"n1"}]}`)
	for _, key := range []string{
		"/micro/registry/other/n1", "/micro/registry/greeter", "/other/greeter/n1", "/micro/registry//greeter/n1", "",
	} {
		_, err := NewDecoder(testKeys).Decode(key, 7, value)
		require.ErrorIs(t, err, ErrMalformed, key)
	}
}

func TestDeepValuesCanBeCopiedAndWrittenAgain(t *testing.T) {
	deep := strings.Repeat(`{"values":[`, 4000) + strings.Repeat(`]}`, 4000)
	r, err := NewDecoder(testKeys).Decode(
		testKey, 7, []byte(`{"name":"greeter","nodes":[{"id":"n1"}],"endpoints":[{"request":`+deep+`}]}`),
	)
	require.NoError(t, err)
	requireUsable(t, r)
}

func TestEqualPartsAreDecodedOnce(t *testing.T) {
	d := NewDecoder(testKeys)
	value := func(id, metadata, profile string) []byte {
		return fmt.Appendf(nil, `{"name":"greeter",%s,"nodes":[{"id":%q,"metadata":%s}]}`, profile, id, metadata)
	}
	decode := func(value []byte) *Record {
		r, err := d.Decode(testKey, 7, value)
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
		d := NewDecoder(testKeys)
		var records []*Record
		for i := range 3 * maxShared {
			r, err := d.Decode(testKey, 7, fmt.Appendf(nil, different, i))
			require.NoError(t, err)
			require.LessOrEqual(t, len(d.profiles), maxShared, name)
			require.LessOrEqual(t, len(d.metadata), maxShared, name)
			records = append(records, r)
		}
		for i, r := range records { // what was forgotten lives on in its records
			value, err := Encode(r)
			require.NoError(t, err)
			require.Contains(t, string(value), fmt.Sprintf("%q", fmt.Sprint(i)))
		}
	}
}

func TestManyLargePartsAreNotAllKept(t *testing.T) {
	d := NewDecoder(testKeys)
	large := strings.Repeat("x", maxSharedSize/2)
	for i := range 2 * maxSharedTotal / len(large) {
		_, err := d.Decode(testKey, 7, fmt.Appendf(
			nil, `{"name":"greeter","metadata":{"v":"%d%s"},"nodes":[{"id":"n1","metadata":{"n":"%d%s"}}]}`, i, large, i, large,
		))
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
	d := NewDecoder(testKeys)
	huge := strings.Repeat("x", maxSharedSize)
	value := `{"name":"greeter","metadata":{"v":"` + huge + `"},"nodes":[{"id":"n1","metadata":{"n":"` + huge + `"}}]}`
	for range 2 {
		r, err := d.Decode(testKey, 7, []byte(value))
		require.NoError(t, err)
		require.Len(t, r.Node.Metadata["n"], maxSharedSize)
		require.Empty(t, d.metadata)
		require.Empty(t, d.profiles)
	}
}

// requireUsable checks that a decoded record survives what consumers do with it.
func requireUsable(t *testing.T, r *Record) {
	t.Helper()
	value, err := Encode(r)
	require.NoError(t, err)
	again, err := NewDecoder(testKeys).Decode(r.Key, r.Revision, value)
	require.NoError(t, err)
	require.True(t, r.Equal(again), "%s", value)
	twice, err := Encode(again)
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
		`{"name":"greeter","nodes":[{"id":"n1"}],"nodes":[{"address":"a"}]}`,
		`{"name":"greeter","nodes":[{"id":"n1","metadata":null}]}{}`,
		`{"name":"greeter","endpoints":[{"request":` + strings.Repeat(`{"values":[`, 50) + strings.Repeat(`]}`, 50) +
			`}],"nodes":[{"id":"n1"}]}`,
		`{"name":"gre\u0000eter","nodes":[{"id":"\u001b[31m","address":"<&>\u2028"}]}`,
		`{"name":"greeter","nodes":[{"id":"n1"},{"id":"n2"}]}`,
		`{"name":"greeter","metadata":{"":""},"endpoints":[{},{"metadata":{}},{"request":{"values":[]}}],` +
			`"nodes":[{"id":"/../"}]}`,
		"\xef\xbb\xbf{}", `{"name":"greeter","nodes":[{"id":"\xff"}]}`, "[[[[", "1e999999",
		`{"name":"..","nodes":[{"id":"n1"}]}`,
	} {
		f.Add(testKey, []byte(value))
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		d := NewDecoder(testKeys)
		r, err := d.Decode(key, 7, value)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			return
		}
		requireUsable(t, r)
		again, err := d.Decode(key, 8, value)
		require.NoError(t, err)
		require.True(t, r.Equal(again))
	})
}
