package cases

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

var (
	errRefAway   = errors.New("the store is away")
	errRefClosed = errors.New("the registry is closed")
	errRefBad    = errors.New("not a registration")
)

// refStore is what the reference processes share. Its lock guards all of them.
type refStore struct {
	mu      sync.Mutex
	rev     int
	records map[refKey]*refRecord
	drained map[refKey]bool
	changed chan struct{} // closed and replaced at every change
	flaws   refFlaws
	done    chan struct{} // closed when the test is over
}

// refFlaws are the mistakes that can't be made from outside.
type refFlaws struct {
	neverHeals bool // a lost record stays lost
	alwaysPuts bool // every Register takes the node over
	adopts     bool // a record that another process left stays as and whose it is
	ignores    bool // nodes that are drained stay in service
}

type refKey struct{ service, node string }

type refRecord struct {
	service *registry.Service // with its one node; nil is junk
	owner   *refProcess
	ttl     time.Duration
	rev     int
}

func newRefStore() *refStore {
	return &refStore{
		records: map[refKey]*refRecord{}, drained: map[refKey]bool{},
		changed: make(chan struct{}), done: make(chan struct{}),
	}
}

func (s *refStore) touch() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *refStore) put(k refKey, r *refRecord) {
	s.rev++
	r.rev = s.rev
	s.records[k] = r
	s.touch()
}

func (s *refStore) remove(k refKey) {
	delete(s.records, k)
	s.touch()
}

func (s *refStore) drain(service, node string) (restore func() error, err error) {
	set := func(drained bool) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drained[refKey{service, node}] = drained
		s.touch()
		return nil
	}
	return func() error { return set(false) }, set(true)
}

// lose removes a record behind its owner's back.
func (s *refStore) lose(service, node string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := refKey{service, node}
	r := s.records[k]
	if r == nil {
		return errors.New("no such record")
	}
	s.remove(k)
	time.AfterFunc(5*time.Millisecond, r.owner.heal)
	return nil
}

func (s *refStore) corrupt(service string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(refKey{service, "\xffjunk"}, &refRecord{})
	return nil
}

// expire removes what ended processes have not renewed for a TTL.
func (s *refStore) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, r := range s.records {
		if r.owner != nil && !r.owner.since.IsZero() && r.ttl > 0 && time.Since(r.owner.since) >= r.ttl {
			s.remove(k)
		}
	}
}

// services folds the records of one name, or of all if name is empty.
func (s *refStore) services(name string) []*registry.Service {
	newest := map[*registry.Service]int{}
	v := record.View{}
	for k, r := range s.records {
		if r.service == nil || (name != "" && k.service != name) || s.drained[k] && !s.flaws.ignores {
			continue
		}
		key := [2]string{r.service.Name, r.service.Version}
		fold := record.Clone(r.service)
		if known := v[key]; known != nil {
			fold.Nodes = append(fold.Nodes, known.Nodes...)
			if newest[known] > r.rev {
				fold.Metadata, fold.Endpoints = known.Metadata, known.Endpoints
			}
			newest[fold] = newest[known]
		}
		newest[fold] = max(newest[fold], r.rev)
		v[key] = fold
	}
	all := v.Services()
	for _, f := range all {
		slices.SortFunc(f.Nodes, func(a, b *registry.Node) int { return strings.Compare(a.Id, b.Id) })
	}
	return all
}
