package catalog

import (
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// officialKey is the official plugin's nodePath.
func officialKey(service, id string) string {
	return path.Join("/micro/registry/", strings.ReplaceAll(service, "/", "-"), strings.ReplaceAll(id, "/", "-"))
}

func TestKeysAreTheOfficialPlugins(t *testing.T) {
	keys := testKeys
	for _, c := range []struct{ service, id, key string }{
		{"greeter", "greeter-1", "/micro/registry/greeter/greeter-1"},
		{"go.micro.api", "go.micro.api-5c1a", "/micro/registry/go.micro.api/go.micro.api-5c1a"},
		{"shop/cart", "1", "/micro/registry/shop-cart/1"},
		{"a//b/", "1", "/micro/registry/a--b-/1"},
		{"...", "...", "/micro/registry/.../..."},
		{"größe", "ü 1", "/micro/registry/größe/ü 1"},
	} {
		require.Equal(t, c.key, keys.Node(c.service, c.id))
		require.Equal(t, officialKey(c.service, c.id), keys.Node(c.service, c.id))
		require.Equal(t, path.Dir(c.key)+"/", keys.Dir(c.service))
		require.Equal(t, keys.Dir(c.service), keys.DirOf(c.key))
	}
}

func TestANodeIDStandsVerbatim(t *testing.T) {
	keys := testKeys
	for id, key := range map[string]string{
		"topic/a-1": "/micro/registry/broker/topic/a-1",
		"..":        "/micro/registry/broker/..",
		"/":         "/micro/registry/broker//",
		"a//b/../c": "/micro/registry/broker/a//b/../c",
	} {
		require.Equal(t, key, keys.Node("broker", id))
		require.Equal(t, "/micro/registry/broker/", keys.DirOf(key))
	}
}

func TestDirOfAKeyOutsideTheLayoutIsEmpty(t *testing.T) {
	keys := testKeys
	for _, key := range []string{
		"", "/", "/micro", "/micro/registry", "/micro/registry/", "/micro/registry/greeter", "/micro/registry//1",
		"/micro/registry///",
		"/other/registry/greeter/1", "x/micro/registry/greeter/1", "/micro/registrys/greeter/1",
	} {
		require.Empty(t, keys.DirOf(key), key)
	}
	require.Equal(t, "/micro/registry/greeter/", keys.DirOf("/micro/registry/greeter/"))
}

func TestAPrefixEndsWithASlash(t *testing.T) {
	for prefix, want := range map[string]string{"/a": "/a/", "/a/": "/a/", "a": "a/"} {
		keys, ok := NewKeyspace(prefix)
		require.True(t, ok)
		require.Equal(t, want, keys.Prefix)
	}
	for _, prefix := range []string{"", "/", "//"} {
		_, ok := NewKeyspace(prefix)
		require.False(t, ok)
	}
}

func FuzzKey(f *testing.F) {
	for _, s := range [][2]string{
		{"greeter", "1"},
		{"a/b", "c/d"},
		{"..", ".."},
		{"", ""},
		{"/", "/"},
		{"\xff", "\xff"},
		{"a-b", "/"},
		{"\x00", "\x1b[31m"},
		{".", "a"},
		{"größe", "ü\u2028"},
		{strings.Repeat("a/", 500), "//"},
	} {
		for _, prefix := range []string{"/x", "", "//", "x", "/micro/registry/", "\xff/", "/a/../b"} {
			f.Add(s[0], s[1], prefix)
		}
	}
	f.Fuzz(func(t *testing.T, service, id, prefix string) {
		keys, ok := NewKeyspace(prefix)
		if !ok {
			keys = testKeys
		}
		_ = keys.DirOf(id)
		if !IsName(service) || id == "" || !utf8.ValidString(id) {
			return
		}
		key := keys.Node(service, id)
		require.True(t, utf8.ValidString(strings.TrimPrefix(key, keys.Prefix)))
		require.Equal(t, keys.Dir(service), keys.DirOf(key), "a record is found where its service is looked for")
		require.Equal(t, id, strings.TrimPrefix(key, keys.Dir(service)), "node ids don't collide")
		if !strings.Contains(id, "/") && id != "." && id != ".." && !ok {
			require.Equal(t, officialKey(service, id), key)
		}
	})
}
