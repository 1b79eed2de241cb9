package etcd

import (
	"context"
	"math/rand/v2"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/view"
)

// probe asks etcd now and then whether the history that the views and registrations rest on is
// still the one that etcd has. Watches don't tell: one from a revision that etcd will only
// reach again after its data directory was wiped, or restored from a snapshot, is silent.
type probe struct {
	registry *Registry
	alarms   chan struct{} // somebody saw signs of another history
	hurries  chan struct{} // the connection was lost and is back
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

// Bounds of the time between two probes: four requests a minute at most, beside those after a
// reconnect and those that ask again.
const (
	minProbe = 15 * time.Second
	maxProbe = 20 * time.Second
)

func (p *probe) run(ctx context.Context) {
	clock := newClock()
	for {
		timer := time.NewTimer(minProbe + rand.N(maxProbe-minProbe))
		select {
		case <-timer.C:
			p.look(ctx)
		case <-p.hurries:
			p.look(ctx)
		case <-p.alarms:
			p.forget()
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
		if gap := clock.jump(); gap != 0 {
			p.registry.resumed(gap)
		}
	}
}

// look compares what the views and registrations know with what etcd has. Whatever differs may be
// an event on its way, so etcd is asked again before that counts.
func (p *probe) look(ctx context.Context) {
	l := p.registry.connector.Current()
	before := p.sample()
	if l == nil || before.empty() {
		return
	}
	wrong, err := p.contradicts(ctx, l, before)
	if err != nil || wrong.empty() {
		return
	}
	if !p.quiet(ctx) {
		return
	}
	wrong, err = p.contradicts(ctx, l, wrong.unmoved())
	switch {
	case err != nil:
	case len(wrong.spots) > 0:
		first := wrong.spots[0]
		p.registry.reporter.note(func() {
			p.registry.reporter.warnf("etcd doesn't have %.300q as it was at revision %d; checking everything", first.key, first.revision)
		})
		p.registry.rewritten()
	case wrong.count != nil:
		count := *wrong.count
		p.registry.reporter.note(func() {
			p.registry.reporter.infof("%.300q hasn't the %d keys that were seen; listing it again", count.view.Prefix, count.keys)
		})
		wrong.count.view.Relist(metrics.ListCountDiffers)
	}
}

// quiet waits for events on their way, and reports whether there was no alarm meanwhile.
func (p *probe) quiet(ctx context.Context) bool {
	timer := time.NewTimer(eventTime)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.alarms:
		p.forget()
	case <-ctx.Done():
	}
	return false
}

// forget acts on an alarm: what was known of etcd's history is no measure any more.
func (p *probe) forget() {
	if l := p.registry.connector.Current(); l != nil {
		l.HighWater.Reset()
	}
	p.registry.rewritten()
}

// eventTime is how long an event may take to arrive after etcd has let it be read.
const eventTime = 2 * time.Second

// contradicts asks etcd about a sample, in one request, and returns the part of it that etcd says
// otherwise. What the answer tells of etcd's history is acted upon at once.
func (p *probe) contradicts(ctx context.Context, l *etcdconn.Client, s sample) (wrong sample, err error) {
	if s.empty() {
		return s, nil
	}
	known := l.HighWater.Now()
	answer, err := p.ask(ctx, s)
	if now := p.registry.connector.Current(); err == nil && now != l {
		err = etcdconn.ErrReplaced
	}
	if err != nil {
		return sample{}, err
	}
	if now := etcdconn.PositionOf(answer.Header); l.HighWater.Regressed(known, now) {
		p.registry.reporter.note(func() {
			p.registry.reporter.warnf("etcd's history has changed: revision %d after %d, term %d after %d; checking everything",
				now.Revision, known.Revision, now.Term, known.Term)
		})
		p.registry.rewritten()
		return sample{}, nil
	}
	for i, spot := range s.spots {
		kvs := answer.Responses[i].GetResponseRange().Kvs
		if len(kvs) == 0 || !spot.is(kvs[0]) {
			wrong.spots = append(wrong.spots, spot)
		}
	}
	if s.count != nil && answer.Responses[len(s.spots)].GetResponseRange().Count != int64(s.count.keys) {
		wrong.count = s.count
	}
	return wrong, nil
}

func (p *probe) ask(ctx context.Context, s sample) (*clientv3.TxnResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, p.registry.timeout())
	defer cancel()
	return etcdconn.Do(ctx, p.registry.connector, func(ctx context.Context, l *etcdconn.Client) (*clientv3.TxnResponse, error) {
		return l.Txn(ctx).Then(s.reads()...).Commit()
	})
}

// sample returns some of all the keys that are known, and the count of one of the views.
func (p *probe) sample() sample {
	var drawn draw
	var following []*view.View
	parts := p.registry.parts.Load()
	for _, m := range parts.views.All() {
		if m.IsFollowing() {
			following = append(following, m)
			viewKeys{m}.offer(&drawn)
		}
	}
	ownKeys{parts.registrar}.offer(&drawn)
	s := sample{spots: drawn.spots()}
	if len(following) > 0 {
		c := countOf(following[rand.N(len(following))])
		s.count = &c
	}
	return s
}
