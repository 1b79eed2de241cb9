package etcd

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/registration"
	"github.com/micro-etcd/micro-etcd/internal/signal"
	"github.com/micro-etcd/micro-etcd/internal/view"
)

// probe asks etcd now and then whether the history that the views and registrations rest on is still the one that etcd
// has. Watches don't tell: one from a revision that etcd will only reach again after its data directory was wiped, or
// restored from a snapshot, is silent.
type probe struct {
	connector  *etcdconn.Connector
	components *atomic.Pointer[components]
	timeout    func() time.Duration
	reporter   *reporter
	alarm      signal.Signal // somebody saw signs of another history
	hurry      signal.Signal // the connection was lost and is back
	maxReads   int           // in one request; for run
}

func newProbe(
	c *etcdconn.Connector, now *atomic.Pointer[components], timeout func() time.Duration, r *reporter,
) *probe {
	return &probe{
		connector: c, components: now, timeout: timeout, reporter: r,
		alarm: signal.New(), hurry: signal.New(), maxReads: maxSpots + 1,
	}
}

// Bounds of the time between two probes: four requests a minute at most, beside those after a reconnect and those that
// ask again.
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
		case <-p.hurry:
			p.look(ctx)
		case <-p.alarm:
			p.forget()
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
		if gap := clock.jump(); gap != 0 {
			p.resumed(gap)
		}
	}
}

// resumed checks everything after the machine was asleep.
func (p *probe) resumed(gap time.Duration) {
	p.reporter.note(func() {
		p.reporter.infof("the machine was suspended or its clock set, by %s; checking everything", gap.Round(time.Second))
	})
	p.components.Load().resync()
}

// look compares what the views and registrations know with what etcd has. Whatever differs may be an event on its way,
// so etcd is asked again before that counts.
func (p *probe) look(ctx context.Context) {
	cl := p.connector.Current()
	before := p.sample()
	if cl == nil || before.empty() {
		return
	}
	wrong, err := p.contradicts(ctx, cl, before)
	if errors.Is(err, rpctypes.ErrTooManyOps) && p.maxReads > 1 { // its --max-txn-ops is low
		p.maxReads /= 2
		p.look(ctx)
		return
	}
	if err != nil || wrong.empty() {
		return
	}
	if !p.quiet(ctx) {
		return
	}
	wrong, err = p.contradicts(ctx, cl, wrong.unmoved())
	switch {
	case err != nil:
	case len(wrong.spots) > 0:
		first := wrong.spots[0]
		p.reporter.note(func() {
			p.reporter.warnf("etcd doesn't have %.300q as it was at revision %d; checking everything", first.key, first.revision)
		})
		p.components.Load().resync()
	case wrong.count != nil:
		count := *wrong.count
		p.reporter.note(func() {
			p.reporter.infof("%.300q hasn't the %d keys that were seen; listing it again", count.view.Prefix, count.keys)
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
	case <-p.alarm:
		p.forget()
	case <-ctx.Done():
	}
	return false
}

// forget acts on an alarm: what was known of etcd's history is no measure any more.
func (p *probe) forget() {
	if cl := p.connector.Current(); cl != nil {
		cl.HighWater.Reset()
	}
	p.components.Load().resync()
}

// eventTime is how long an event may take to arrive after etcd has let it be read.
const eventTime = 2 * time.Second

// contradicts asks etcd about a sample, in one request, and returns the part of it that etcd says otherwise. What the
// answer tells of etcd's history is acted upon at once.
func (p *probe) contradicts(ctx context.Context, cl *etcdconn.Client, s sample) (wrong sample, err error) {
	if s.empty() {
		return s, nil
	}
	known := cl.HighWater.Now()
	answer, err := p.ask(ctx, s)
	if now := p.connector.Current(); err == nil && now != cl {
		err = etcdconn.ErrReplaced
	}
	if err != nil {
		return sample{}, err
	}
	if now := etcdconn.PositionOf(answer.Header); cl.HighWater.Regressed(known, now) {
		p.reporter.note(func() {
			p.reporter.warnf("etcd's history has changed: revision %d after %d, term %d after %d; checking everything",
				now.Revision, known.Revision, now.Term, known.Term)
		})
		p.components.Load().resync()
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
	ctx, cancel := context.WithTimeout(ctx, p.timeout())
	defer cancel()
	return etcdconn.Do(ctx, p.connector, func(ctx context.Context, cl *etcdconn.Client) (*clientv3.TxnResponse, error) {
		return cl.Txn(ctx).Then(s.reads()...).Commit()
	})
}

// sample returns some of all the keys that are known, and the count of one of the views.
func (p *probe) sample() sample {
	var drawn draw
	var following []*view.View
	now := p.components.Load()
	for _, v := range now.views.All() {
		if v.IsFollowing() {
			following = append(following, v)
			viewKeys{v}.offer(&drawn)
		}
	}
	ownKeys{now.registrar}.offer(&drawn)
	s := sample{spots: drawn.spots()}
	if len(following) > 0 {
		c := countOf(following[rand.N(len(following))])
		s.count = &c
	}
	return s.cut(p.maxReads)
}

// sample is a part of what this registry knows of etcd, small enough to be compared in one request. Only what the
// registry uses is read: with least privilege it may read nothing else.
type sample struct {
	spots []spot
	count *count // nil for none
}

// spot is a key that is known.
type spot struct {
	key     string
	writing // the last one of it, when the sample was taken
	keySet
}

// writing is when a key was written, and on which lease. After etcd's data were wiped another writing may have the same
// revision, but not the same lease: its id has the time in it (pkg/v3 idutil).
type writing struct{ revision, lease int64 }

func lastWriting(r *catalog.Record) writing { return writing{r.Revision, r.Lease} }

// anyLease is that of a writing whose lease isn't known.
const anyLease = -1

func (w writing) is(kv *mvccpb.KeyValue) bool {
	return w.revision == kv.ModRevision && (w.lease == kv.Lease || w.lease == anyLease)
}

// keySet knows how a key was last written; the zero writing means that it doesn't know the key.
type keySet interface{ writingOf(key string) writing }

// count is the number of keys in a view. Watches have lost events that etcd had (etcd-io/etcd#18089).
type count struct {
	view    *view.View
	keys    int
	applied int64 // the last event that this is after
}

// maxSpots bounds a sample's keys.
const maxSpots = 16

// draw samples spots: the newest, which a restored snapshot lacks; the oldest, of which a history that has overtaken
// ours sends no event; and random others.
type draw struct {
	oldest, newest spot
	others         []spot
	seen           int
}

func (d *draw) add(s spot) {
	d.seen++
	if d.seen == 1 || s.revision < d.oldest.revision {
		d.oldest = s
	}
	if d.seen == 1 || s.revision > d.newest.revision {
		d.newest = s
	}
	if len(d.others) < maxSpots {
		d.others = append(d.others, s)
	} else if i := rand.N(d.seen); i < maxSpots {
		d.others[i] = s
	}
}

func (d *draw) spots() []spot {
	if d.seen <= maxSpots {
		return d.others
	}
	rand.Shuffle(len(d.others), func(i, j int) { d.others[i], d.others[j] = d.others[j], d.others[i] })
	for i, s := range []spot{d.oldest, d.newest} {
		if at := slices.Index(d.others, s); at >= 0 {
			d.others[at] = d.others[i]
		}
		d.others[i] = s
	}
	return d.others
}

func (s sample) empty() bool { return len(s.spots) == 0 && s.count == nil }

// cut returns a part of the sample that takes no more than some reads.
func (s sample) cut(reads int) sample {
	if reads == 1 && len(s.spots) > 0 && rand.N(2) == 0 {
		s.count = nil
	}
	if s.count != nil {
		reads--
	}
	s.spots = s.spots[:min(len(s.spots), reads)]
	return s
}

// reads returns what to ask etcd for: each spot, then the count.
func (s sample) reads() []clientv3.Op {
	var reads []clientv3.Op
	for _, spot := range s.spots {
		reads = append(reads, clientv3.OpGet(spot.key, clientv3.WithKeysOnly()))
	}
	if s.count != nil {
		reads = append(reads, clientv3.OpGet(s.count.view.Prefix, clientv3.WithPrefix(), clientv3.WithCountOnly()))
	}
	return reads
}

// unmoved returns the part of the sample that still is as it was: of the rest, news has come.
func (s sample) unmoved() sample {
	s.spots = slices.DeleteFunc(s.spots, func(spot spot) bool { return spot.writingOf(spot.key) != spot.writing })
	if s.count != nil && *s.count != countOf(s.count.view) {
		s.count = nil
	}
	return s
}

// viewKeys are the keys of a view, as a set.
type viewKeys struct{ *view.View }

// offer adds them to a draw.
func (k viewKeys) offer(d *draw) {
	for r := range k.Records {
		d.add(spot{r.Key, lastWriting(r), k})
	}
}

func (k viewKeys) writingOf(key string) writing {
	if r := k.Record(key); r != nil {
		return lastWriting(r)
	}
	return writing{}
}

func countOf(v *view.View) count {
	keys, applied := v.Size()
	return count{v, keys, applied}
}

// ownKeys are the keys of a registrar, as a set.
type ownKeys struct{ *registration.Registrar }

// offer adds the keys whose owner is known to a draw.
func (k ownKeys) offer(d *draw) {
	k.Written(func(key string, revision int64) bool {
		d.add(spot{key, writing{revision, anyLease}, k})
		return true
	})
}

func (k ownKeys) writingOf(key string) writing {
	if revision, ok := k.RevisionOf(key); ok {
		return writing{revision, anyLease}
	}
	return writing{}
}

// clock notices that the machine was asleep, or that its clock was set. Go's timers and etcd's leases run on monotonic
// clocks, and ours stands still on a sleeping machine while etcd's runs on: leases may have run out before anything is
// due here.
type clock struct {
	wall, monotonic time.Time
}

// clockSlack is how far the clocks may come apart: etcd's shortest leases live 2 s.
const clockSlack = 2 * time.Second

// wallClock returns the time of day without a monotonic reading. Tests replace it.
var wallClock = func() time.Time { return time.Now().Round(0) }

func newClock() *clock { return &clock{wallClock(), time.Now()} }

// jump returns by how much the time of day has moved against the monotonic clock since the last call, if that is much.
func (c *clock) jump() time.Duration {
	wall, monotonic := wallClock(), time.Now()
	gap := wall.Sub(c.wall) - monotonic.Sub(c.monotonic)
	c.wall, c.monotonic = wall, monotonic
	if gap.Abs() <= clockSlack {
		return 0
	}
	return gap
}
