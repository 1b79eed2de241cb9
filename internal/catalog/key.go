package catalog

import (
	"strings"
	"unicode/utf8"
)

// Keyspace lays out the records of one registry below its prefix:
//
//	<prefix><service, "/" replaced by "-">/<node id>
//
// The service part is the official plugin's. The node id stands verbatim: it is unique by construction, and readers
// find it by prefix, however many slashes it has.
type Keyspace struct {
	Prefix string // ends with a slash
}

// NewKeyspace returns the keyspace below a prefix, which gets a slash at its end, or false if there is nothing else in
// it.
func NewKeyspace(prefix string) (Keyspace, bool) {
	if !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return Keyspace{Prefix: prefix}, strings.Trim(prefix, "/") != ""
}

// Dir is the directory of a service. Names that differ only in "/" and "-" share one.
func (k Keyspace) Dir(service string) string {
	return k.Prefix + strings.ReplaceAll(service, "/", "-") + "/"
}

// Node is the key of a node.
func (k Keyspace) Node(service, id string) string {
	return k.Dir(service) + id
}

// DirOf returns the directory that a key is in, or "" for a key outside the layout.
func (k Keyspace) DirOf(key string) string {
	rest, ok := strings.CutPrefix(key, k.Prefix)
	if !ok {
		return ""
	}
	slash := strings.IndexByte(rest, '/')
	if slash <= 0 {
		return ""
	}
	return key[:len(k.Prefix)+slash+1]
}

// IsName reports whether a service can have a name.
func IsName(name string) bool {
	return name != "" && name != "." && name != ".." && utf8.ValidString(name)
}
