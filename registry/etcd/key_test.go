package etcd

import (
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
)

func testKeys(t testing.TB) keyspace {
	t.Helper()
	keys, err := newKeyspace(DefaultPrefix)
	require.NoError(t, err)
	return keys
}

// officialKey is the official plugin's nodePath.
func officialKey(service, id string) string {
	return path.Join("/micro/registry/", strings.ReplaceAll(service, "/", "-"), strings.ReplaceAll(id, "/", "-"))
}

func TestKeysAreTheOfficialPlugins(t *testing.T) {
	keys := testKeys(t)
	for _, c := range []struct{ service, id, key string }{
		{"greeter", "greeter-1", "/micro/registry/greeter/greeter-1"},
		{"go.micro.api", "go.micro.api-5c1a", "/micro/registry/go.micro.api/go.micro.api-5c1a"},
		{"shop/cart", "1", "/micro/registry/shop-cart/1"},
		{"a//b/", "1", "/micro/registry/a--b-/1"},
		{"...", "...", "/micro/registry/.../..."},
		{"größe", "ü 1", "/micro/registry/größe/ü 1"},
	} {
		require.Equal(t, c.key, keys.node(c.service, c.id))
		require.Equal(t, officialKey(c.service, c.id), keys.node(c.service, c.id))
		require.Equal(t, path.Dir(c.key)+"/", keys.dir(c.service))
		require.Equal(t, keys.dir(c.service), keys.dirOf(c.key))
	}
}

func TestANodeIDStandsVerbatim(t *testing.T) {
	keys := testKeys(t)
	for id, key := range map[string]string{
		"topic/a-1": "/micro/registry/broker/topic/a-1",
		"..":        "/micro/registry/broker/..",
		"/":         "/micro/registry/broker//",
		"a//b/../c": "/micro/registry/broker/a//b/../c",
	} {
		require.Equal(t, key, keys.node("broker", id))
		require.Equal(t, "/micro/registry/broker/", keys.dirOf(key))
	}
}

func TestDirOfAKeyOutsideTheLayoutIsEmpty(t *testing.T) {
	keys := testKeys(t)
	for _, key := range []string{
		"", "/", "/micro", "/micro/registry", "/micro/registry/", "/micro/registry/greeter", "/micro/registry//1", "/micro/registry///",
		"/other/registry/greeter/1", "x/micro/registry/greeter/1", "/micro/registrys/greeter/1",
	} {
		require.Empty(t, keys.dirOf(key), key)
	}
	require.Equal(t, "/micro/registry/greeter/", keys.dirOf("/micro/registry/greeter/"))
}

func TestServiceNames(t *testing.T) {
	for _, name := range []string{"", ".", "..", "\xff", "a\xc3"} {
		require.ErrorIs(t, checkServiceName(name), ErrServiceName, name)
	}
	for _, name := range []string{"a", "...", ".a", "a/b", "/", "a b", "größe", "\x00", "�"} {
		require.NoError(t, checkServiceName(name), name)
	}
}

func TestCheckServiceNamesTheCulprit(t *testing.T) {
	node := func(id string) *registry.Node { return &registry.Node{Id: id} }
	service := func(nodes ...*registry.Node) *registry.Service {
		return &registry.Service{Name: "greeter", Nodes: nodes}
	}
	require.NoError(t, checkService(service(node("a"), node("b"))))
	for _, c := range []struct {
		service *registry.Service
		err     error
		text    string
	}{
		{nil, ErrNilService, "nil"},
		{service(), ErrNoNodes, `"greeter"`},
		{service(node("a"), nil), ErrNilService, `node 1 of service "greeter"`},
		{service(node("a"), node("")), ErrNodeID, `"": node 1 of service "greeter"`},
		{service(node("a\xff")), ErrNodeID, `"a\xff": node 0 of service "greeter"`},
		{service(node("a"), node("b"), node("a")), ErrNodeID, `"a": used twice in service "greeter"`},
		{&registry.Service{Name: "..", Nodes: []*registry.Node{node("a")}}, ErrServiceName, `".."`},
	} {
		err := checkService(c.service)
		require.ErrorIs(t, err, c.err)
		require.ErrorContains(t, err, c.text)
	}
}

func FuzzKey(f *testing.F) {
	for _, s := range [][2]string{{"greeter", "1"}, {"a/b", "c/d"}, {"..", ".."}, {"", ""}, {"/", "/"}, {"\xff", "\xff"}, {"a-b", "/"}, {"\x00", "\x1b[31m"}, {".", "a"}, {"größe", "ü\u2028"}, {strings.Repeat("a/", 500), "//"}} {
		for _, prefix := range []string{"/x", "", "//", "x", "/micro/registry/", "\xff/", "/a/../b"} {
			f.Add(s[0], s[1], prefix)
		}
	}
	f.Fuzz(func(t *testing.T, service, id, prefix string) {
		keys, err := newKeyspace(prefix)
		if err != nil {
			require.ErrorIs(t, err, ErrOption)
			keys = testKeys(t)
		}
		_ = keys.dirOf(id)
		s := &registry.Service{Name: service, Nodes: []*registry.Node{{Id: id}}}
		if checkService(s) != nil {
			return
		}
		key := keys.node(service, id)
		require.True(t, utf8.ValidString(strings.TrimPrefix(key, keys.prefix)))
		require.Equal(t, keys.dir(service), keys.dirOf(key), "a record is found where its service is looked for")
		require.Equal(t, id, strings.TrimPrefix(key, keys.dir(service)), "node ids don't collide")
		if !strings.Contains(id, "/") && id != "." && id != ".." && err != nil {
			require.Equal(t, officialKey(service, id), key)
		}
	})
}

func TestRegisterRefusesWhatCouldNotBeDeregistered(t *testing.T) {
	long := strings.Repeat("i", maxNameSize)
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		for name, c := range map[string]struct {
			service, id string
			err         error
		}{
			"fits":             {long, long, nil},
			"a long name":      {long + "i", "n1", ErrServiceName},
			"a long id":        {"greeter", long + "i", ErrNodeID},
			"a long id, UTF-8": {"greeter", strings.Repeat("é", maxNameSize/2) + "é", ErrNodeID},
		} {
			s := &registry.Service{Name: c.service, Nodes: []*registry.Node{{Id: c.id}}}
			err := r.Register(s, registry.RegisterTTL(testTTL))
			require.ErrorIs(t, err, c.err, name)
			if c.err != nil {
				require.ErrorContains(t, err, "more than 16384", name)
				require.Less(t, len(err.Error()), 300, name)
			}
			require.NoError(t, r.Deregister(s), "what others have put there can be removed")
			require.Empty(t, e.truth(c.service), name)
		}
	})
}
