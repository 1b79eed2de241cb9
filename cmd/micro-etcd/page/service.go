package page

import (
	"slices"
	"strings"
	"time"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

const maxVersions = 6

// entry is a record with what it is shown and found by.
type entry struct {
	record  *fleet.Record
	service string // labels
	version string
	words   string // in lower case, for the search
}

func newEntry(r *fleet.Record, prefix string) *entry {
	e := &entry{record: r}
	if r.Service == nil {
		directory, _, _ := strings.Cut(strings.TrimPrefix(r.Key, prefix), "/")
		e.service = label(directory)
		e.words = strings.ToLower(cut(r.Key, maxText))
		return e
	}
	e.service, e.version = label(r.Service.Name), label(r.Service.Version)
	e.words = words(r)
	return e
}

func words(r *fleet.Record) string {
	var all strings.Builder
	add := func(text string) {
		if left := 2*maxText - all.Len(); left > 0 {
			all.WriteString(cut(text, left) + "\n")
		}
	}
	add(r.Service.Version)
	add(r.Node().Id)
	add(r.Node().Address)
	if o := r.Notice; o != nil {
		add("out of service")
		add(o.Reason)
		add(o.By)
	}
	for k, v := range r.Node().Metadata {
		add(k + "=" + v)
	}
	return strings.ToLower(all.String())
}

// service is what the list shows of one, kept up to date record by record.
type service struct {
	name     string
	entries  map[string]*entry // by key
	folded   *catalog.Catalog
	versions map[string]map[string]struct{} // node ids, as what folded reports adds up
	broken   int
	immortal int
	out      int             // notices, of nodes that are out of service
	orphans  map[string]bool // keys on leases that don't exist
	counted  int             // nodes, as they are in the view's total
	history  history
	changed  time.Time // zero: not since we look
	departed time.Time // zero while there are entries
}

func newService(name string) *service {
	return &service{
		name: name, entries: make(map[string]*entry), folded: catalog.New(), versions: make(map[string]map[string]struct{}),
	}
}

func (s *service) put(e *entry) {
	s.remove(e.record.Key)
	s.entries[e.record.Key] = e
	s.count(e, 1)
	if e.record.Service != nil && !e.record.IsNotice() {
		s.fold(s.folded.Put(e.record.CatalogRecord()))
	}
}

func (s *service) remove(key string) {
	if e := s.entries[key]; e != nil {
		s.count(e, -1)
		s.fold(s.folded.Delete(key))
		delete(s.entries, key)
		delete(s.orphans, key)
	}
}

func (s *service) count(e *entry, by int) {
	if e.record.Lease == 0 {
		s.immortal += by
	}
	if e.record.Service == nil {
		s.broken += by
	}
	if e.record.IsNotice() {
		s.out += by
	}
}

func (s *service) fold(changes []catalog.Change) {
	for _, c := range changes {
		version, id := label(c.Record.Version), c.Record.Node.Id
		if c.Action == catalog.Delete {
			if delete(s.versions[version], id); len(s.versions[version]) == 0 {
				delete(s.versions, version)
			}
			continue
		}
		if s.versions[version] == nil {
			s.versions[version] = make(map[string]struct{})
		}
		s.versions[version][id] = struct{}{}
	}
}

func (s *service) nodes() int {
	n := 0
	for _, ids := range s.versions {
		n += len(ids)
	}
	return n
}

// isOutdated reports whether another record of the same node was written later.
func (s *service) isOutdated(r *fleet.Record) bool {
	if r.Service == nil || r.IsNotice() {
		return false
	}
	counts, _ := s.folded.Node(r.Service.Name, r.Node().Id)
	return counts.Record.Key != r.Key
}

func (s *service) summary(h history) summary {
	sum := summary{
		Name: s.name, Nodes: s.nodes(), Broken: s.broken, Immortal: s.immortal, Orphaned: len(s.orphans), Out: s.out,
		Versions: make([]version, 0, len(s.versions)), Changed: milliseconds(s.changed), History: h,
	}
	for _, v := range s.ordered() {
		if len(sum.Versions) == maxVersions {
			sum.More = len(s.versions) - maxVersions
			break
		}
		sum.Versions = append(sum.Versions, version{Version: v, Nodes: len(s.versions[v])})
	}
	return sum
}

// ordered returns the versions, newest first as far as their names tell.
func (s *service) ordered() []string {
	names := make([]string, 0, len(s.versions))
	for v := range s.versions {
		names = append(names, v)
	}
	slices.SortFunc(names, func(a, b string) int { return natural(b, a) })
	return names
}

func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
