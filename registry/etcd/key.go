package etcd

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"go-micro.dev/v4/registry"
)

// DefaultPrefix is where go-micro's etcd registries keep their records.
const DefaultPrefix = "/micro/registry/"

// keyspace lays out the records of one registry below its prefix:
//
//	<prefix><service, "/" replaced by "-">/<node id>
//
// The service part is the official plugin's. The node id stands verbatim: it is unique by
// construction, and readers find it by prefix, however many slashes it has.
type keyspace struct {
	prefix string // ends with a slash
}

func newKeyspace(prefix string) (keyspace, error) {
	if strings.Trim(prefix, "/") == "" {
		return keyspace{}, fmt.Errorf("%w: prefix %q is empty", ErrOption, prefix)
	}
	if !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return keyspace{prefix: prefix}, nil
}

// dir is the directory of a service. Names that differ only in "/" and "-" share one.
func (k keyspace) dir(service string) string {
	return k.prefix + strings.ReplaceAll(service, "/", "-") + "/"
}

func (k keyspace) node(service, id string) string {
	return k.dir(service) + id
}

// dirOf returns the directory that a key is in, or "" for a key outside the layout.
func (k keyspace) dirOf(key string) string {
	rest, ok := strings.CutPrefix(key, k.prefix)
	if !ok {
		return ""
	}
	slash := strings.IndexByte(rest, '/')
	if slash <= 0 {
		return ""
	}
	return key[:len(k.prefix)+slash+1]
}

func checkServiceName(name string) error {
	if name == "" || name == "." || name == ".." || !utf8.ValidString(name) {
		return fmt.Errorf("%w %q", ErrServiceName, name)
	}
	return nil
}

// maxNameSize bounds a service's name and a node's id, in bytes, where they are registered. The
// transaction that deletes a key holds it three times, so a longer one could be put into etcd that
// can't be got out again. Some hundred are usual.
const maxNameSize = 16 << 10

// checkSizes validates what Register was given beyond checkService.
func checkSizes(s *registry.Service) error {
	if n := len(s.Name); n > maxNameSize {
		return fmt.Errorf("%w %.40q...: %d bytes, more than %d", ErrServiceName, s.Name, n, maxNameSize)
	}
	for i, node := range s.Nodes {
		if n := len(node.Id); n > maxNameSize {
			return fmt.Errorf("%w %.40q...: %d bytes, more than %d: node %d of service %q", ErrNodeID, node.Id, n, maxNameSize, i, s.Name)
		}
	}
	return nil
}

// checkService validates what Register and Deregister were given.
func checkService(s *registry.Service) error {
	if s == nil {
		return ErrNilService
	}
	if err := checkServiceName(s.Name); err != nil {
		return err
	}
	if len(s.Nodes) == 0 {
		return fmt.Errorf("%w: %q", ErrNoNodes, s.Name)
	}
	seen := make(map[string]bool, len(s.Nodes))
	for i, n := range s.Nodes {
		switch {
		case n == nil:
			return fmt.Errorf("%w: node %d of service %q", ErrNilService, i, s.Name)
		case n.Id == "" || !utf8.ValidString(n.Id):
			return fmt.Errorf("%w %q: node %d of service %q", ErrNodeID, n.Id, i, s.Name)
		case seen[n.Id]:
			return fmt.Errorf("%w %q: used twice in service %q", ErrNodeID, n.Id, s.Name)
		}
		seen[n.Id] = true
	}
	return nil
}
