package etcd

import (
	"context"
	"math/rand/v2"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// probe asks etcd now and then whether the history that the views and registrations rest on is
// still the one that etcd has. Watches don't tell: one from a revision that etcd will only
// reach again after its data directory was wiped, or restored from a snapshot, is silent.
type probe struct {
	registry *Registry
	alarms   chan struct{} // somebody saw signs of another history
	hurries  chan struct{} // the connection was lost and is back

	next      int     // which of the targets comes next
	suspected *mirror // whose count didn't agree last time
}

func newProbe(r *Registry) *probe {
	return &probe{registry: r, alarms: make(chan struct{}, 1), hurries: make(chan struct{}, 1)}
}

// alarm makes everything be checked. It doesn't block.
func (p *probe) alarm() {
	select {
	case p.alarms <- struct{}{}:
	default:
	}
}

// hurry makes the probe look at once. It doesn't block.
func (p *probe) hurry() {
	select {
	case p.hurries <- struct{}{}:
	default:
	}
}

// Bounds of the time between two probes: four reads a minute at most.
const (
	minProbe = 15 * time.Second
	maxProbe = 20 * time.Second
)

func (p *probe) run(ctx context.Context) {
	for {
		timer := time.NewTimer(minProbe + rand.N(maxProbe-minProbe))
		select {
		case <-timer.C:
			p.look(ctx)
		case <-p.hurries:
			p.look(ctx)
		case <-p.alarms:
			p.registry.rewritten()
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// look reads the number of keys of one directory that this registry uses: with least
// privilege there may be no other that it may read.
func (p *probe) look(ctx context.Context) {
	r := p.registry
	m, prefix := p.target()
	l, _ := r.connector.peek()
	if prefix == "" || l == nil {
		return
	}
	expected, applied := 0, int64(0)
	if m != nil {
		expected, applied = m.count()
	}
	cluster, revision, term := l.cluster.Load(), l.revision.Load(), l.term.Load()
	answer, err := get(ctx, r.connector, r.timeout(), prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if now, _ := r.connector.peek(); err != nil || now != l {
		return
	}
	h := answer.Header
	if cluster != 0 && (h.ClusterId != cluster || h.Revision < revision || int64(h.RaftTerm) < term) { //nolint:gosec // terms are small
		r.log().warnf("etcd's history has changed: revision %d after %d, term %d after %d; checking everything",
			h.Revision, revision, h.RaftTerm, term)
		l.revision.Store(h.Revision)
		l.term.Store(int64(h.RaftTerm)) //nolint:gosec // terms are small
		r.rewritten()
	}
	if m != nil {
		p.compare(m, expected, applied, int(answer.Count))
	}
}

// compare makes a mirror list again when its number of keys was wrong twice in a row and
// no event came in between.
func (p *probe) compare(m *mirror, expected int, applied int64, actual int) {
	now, after := m.count()
	wrong := expected != actual && now == expected && after == applied
	if wrong && p.suspected == m {
		p.registry.log().infof("%s has %d keys instead of %d; listing it again", m.prefix, actual, expected)
		m.doubt()
		wrong = false
	}
	p.suspected = nil
	if wrong {
		p.suspected = m
	}
}

// target returns what to ask for: each followed directory in turn, a suspected one again, or
// else the directory of a registration.
func (p *probe) target() (*mirror, string) {
	var ready []*mirror
	parts := p.registry.parts.Load()
	for _, m := range parts.mirrors.all() {
		if m.isReady() {
			ready = append(ready, m)
		}
		if m == p.suspected {
			return m, m.prefix
		}
	}
	if len(ready) > 0 {
		p.next++
		m := ready[p.next%len(ready)]
		return m, m.prefix
	}
	if own := parts.registrar.all(); len(own) > 0 {
		return nil, parts.config.keys.dirOf(own[0].key)
	}
	return nil, ""
}

// count returns the number of keys that the mirror knows of, and the revision that this is from.
func (m *mirror) count() (keys int, applied int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.catalogue.Len() + m.junk, m.applied
}
