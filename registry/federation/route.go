package federation

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/feed"
)

// route is one service: what each data center says of it, and which one serves it. Its feed has the nodes of that one.
type route struct {
	*feed.Feed
	*shared
	name string
	life context.Context // ends when it isn't followed any more
	end  context.CancelFunc
	used atomic.Bool // since sweep looked last

	// Under routes.mu.
	idleFrom time.Time
	watching int // watchers

	readings atomic.Int64 // so far

	mu         sync.Mutex
	answers    []answer // by data center, in the order of preference
	latest     []int64  // the readings that the answers are from
	serving    int
	since      time.Time // of serving
	servedLast int       // serving, or what it was before nobody served
	open       bool      // as in choice
	back       time.Time // when it may go back to a data center that is preferred; zero for never
	timer      *time.Timer
	decided    chan struct{} // closed and renewed by each decision
}

func newRoute(s *shared, name string) *route {
	rt := &route{
		Feed: feed.New(s.shown, dirOf, dirOf(name)), shared: s, name: name, idleFrom: time.Now(),
		answers: make([]answer, len(s.datacenters)), latest: make([]int64, len(s.datacenters)),
		serving: nobody, servedLast: nobody, since: time.Now(), decided: make(chan struct{}),
	}
	rt.life, rt.end = context.WithCancel(s.ctx)
	rt.timer = time.AfterFunc(time.Hour, func() { s.group.Run(rt.decide) })
	rt.timer.Stop()
	return rt
}

// dirOf makes no service's name the beginning of another's.
func dirOf(service string) string { return service + "\x00" }

// begin asks the local data center.
func (rt *route) begin() {
	rt.mu.Lock()
	rt.followLocked(0)
	rt.mu.Unlock()
	rt.decide()
}

// Snapshot returns what is served, or nil.
func (rt *route) Snapshot(name string) *catalog.Snapshot {
	if !rt.used.Load() {
		rt.used.Store(true)
	}
	return rt.Feed.Snapshot(name)
}

// IsCached: what a registry has from a file is as good as what it said last.
func (rt *route) IsCached() bool { return false }

// Life ends when it isn't followed any more.
func (rt *route) Life() context.Context { return rt.life }

// followLocked lets a data center say what it has of the service from now on. Where everything is followed, that brings
// what changes.
func (rt *route) followLocked(dc int) {
	a := &rt.answers[dc]
	if !a.asked.IsZero() {
		return
	}
	a.asked = time.Now()
	ctx, stop := context.WithCancel(rt.life)
	a.stop = stop
	rt.group.Run(func() {
		defer stop()
		read := func() error { return rt.read(ctx, dc) }
		if rt.all.Load() {
			untilDone(ctx, read)
			return
		}
		rt.datacenters[dc].follow(ctx, rt.name, read, func(string) error { return read() })
	})
}

// isFollowed reports whether a data center is asked.
func (rt *route) isFollowed(dc int) bool {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return !rt.answers[dc].asked.IsZero()
}

// read asks a data center, and decides with the answer. If ctx ends before, that says nothing about the data center.
func (rt *route) read(ctx context.Context, dc int, opts ...registry.GetOption) error {
	n := rt.readings.Add(1)
	services, err := rt.datacenters[dc].services(ctx, rt.name, opts)
	if err != nil && ctx.Err() != nil {
		return err
	}
	records := recordsOf(services)
	rt.decideWith(func() { rt.takeLocked(dc, n, records, err) })
	return err
}

// takeLocked takes in an answer, unless that to a later reading is known.
func (rt *route) takeLocked(dc int, reading int64, records []*catalog.Record, err error) {
	a := &rt.answers[dc]
	if reading < rt.latest[dc] || a.asked.IsZero() || rt.life.Err() != nil {
		return
	}
	a.err = err
	if err != nil {
		return
	}
	rt.latest[dc] = reading
	shareProfiles(records, a.records)
	a.known, a.records = true, records
	least := 1
	if dc == 0 {
		least = rt.below
	}
	switch {
	case len(records) < least:
		a.eligible = time.Time{}
	case a.eligible.IsZero():
		a.eligible = time.Now()
	}
}

// shareProfiles lets records share the profiles of those before: comparing them is quick then.
func shareProfiles(records, before []*catalog.Record) {
	known := make(map[string]*catalog.Profile)
	for _, r := range before {
		known[r.Version] = r.Profile
	}
	for _, r := range records {
		if p := known[r.Version]; p != nil && r.Profile.Equal(p) {
			r.Profile = p
		} else {
			known[r.Version] = r.Profile
		}
	}
}

// decide decides which data center serves.
func (rt *route) decide() { rt.decideWith(func() {}) }

func (rt *route) decideWith(change func()) {
	rt.mu.Lock()
	change()
	moved := rt.decideLocked(time.Now())
	rt.mu.Unlock()
	if moved != nil {
		rt.report(rt.name, moved)
	}
}

func (rt *route) decideLocked(now time.Time) *move {
	if rt.life.Err() != nil {
		return nil
	}
	c := choose(rt.answers, rt.serving, rt.hold, now)
	if c.ask {
		for i := range rt.answers {
			rt.followLocked(i)
		}
		c = choose(rt.answers, rt.serving, rt.hold, now)
	}
	rt.timer.Stop()
	if !c.again.IsZero() {
		rt.timer.Reset(max(0, c.again.Sub(now)))
	}
	rt.open, rt.back = c.open, time.Time{}
	close(rt.decided)
	rt.decided = make(chan struct{})
	if c.open {
		return nil
	}
	rt.back = c.again
	var moved *move
	if c.serving != rt.serving {
		moved = rt.moveLocked(c.serving, now)
	}
	rt.showLocked()
	return moved
}

// moveLocked lets another data center serve, and says so unless the service is new or gone.
func (rt *route) moveLocked(to int, now time.Time) *move {
	for i := range max(to, 0) {
		if a := &rt.answers[i]; a.known && a.lost == nil {
			a.lost = &loss{now, rt.lostLocked(i)}
		}
	}
	from := rt.servedLast
	rt.serving, rt.since = to, now
	if to == nobody {
		return nil
	}
	rt.answers[to].lost = nil
	rt.servedLast = to
	if from == nobody || from == to {
		return nil
	}
	return &move{from, to}
}

// lostLocked returns the nodes that are served, and that the data center doesn't have any more which serves them.
func (rt *route) lostLocked(dc int) map[string]string {
	nodes := make(map[string]string)
	if dc != rt.serving {
		return nodes
	}
	rt.Mu.Lock()
	defer rt.Mu.Unlock()
	for r := range rt.Catalog.Records {
		nodes[r.Node.Id] = r.Node.Address
	}
	for _, r := range rt.answers[dc].records {
		delete(nodes, r.Node.Id)
	}
	return nodes
}

// showLocked makes the feed show what the data center has that serves: what is new before what is gone, so that nobody
// is left without nodes.
func (rt *route) showLocked() {
	var records []*catalog.Record
	if rt.serving != nobody {
		records = rt.answers[rt.serving].records
	}
	rt.Mu.Lock()
	defer rt.Mu.Unlock()
	var changes []catalog.Change
	there := make(map[string]bool, len(records))
	for _, r := range records {
		there[r.Key] = true
		changes = append(changes, rt.Catalog.Restate(r)...)
	}
	var gone []string
	for r := range rt.Catalog.Records {
		if !there[r.Key] {
			gone = append(gone, r.Key)
		}
	}
	slices.Sort(gone)
	for _, key := range gone {
		changes = append(changes, rt.Catalog.Delete(key)...)
	}
	if len(changes) > 0 || !rt.IsReady() {
		rt.PublishLocked(changes)
	}
}

// isServed reports whether a data center serves it.
func (rt *route) isServed() bool {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return rt.serving != nobody
}

// await waits until there is something to show, even if that is nothing.
func (rt *route) await(ctx context.Context) error {
	select {
	case <-rt.Ready:
		return nil
	case <-rt.life.Done():
		return rt.life.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// awaitDecision waits while one is open.
func (rt *route) awaitDecision(ctx context.Context) {
	for {
		rt.mu.Lock()
		open, decided := rt.open, rt.decided
		rt.mu.Unlock()
		if !open {
			return
		}
		select {
		case <-decided:
		case <-rt.life.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// reread asks the data centers that are followed, and waits for the one that serves then, and those that are preferred.
func (rt *route) reread(ctx context.Context, opts []registry.GetOption) {
	answered := make([]chan struct{}, len(rt.answers))
	for dc := range answered {
		if !rt.isFollowed(dc) {
			continue
		}
		done := make(chan struct{})
		answered[dc] = done
		rt.group.Run(func() {
			defer close(done)
			_ = rt.read(ctx, dc, opts...)
		})
	}
	for dc, done := range answered {
		if done == nil {
			continue
		}
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
		if rt.isServedBy(dc) {
			return
		}
	}
}

func (rt *route) isServedBy(dc int) bool {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return rt.serving == dc
}

// known returns what is served, and if that is nothing, why that may be wrong.
func (rt *route) known() (*catalog.Snapshot, error) {
	if snapshot := rt.Snapshot(rt.name); snapshot != nil {
		return snapshot, nil
	}
	return nil, rt.unanswered(nil)
}

// unanswered names the data centers that have never said anything about the service; nil if there are none. since is
// why nobody waits for them any longer.
func (rt *route) unanswered(since error) error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	var errs []error
	for i := range rt.answers {
		if a := &rt.answers[i]; !a.known && !a.asked.IsZero() {
			errs = append(errs, rt.datacenters[i].wrap(cmp.Or(a.err, since, errUnanswered)))
		}
	}
	return join(errs)
}

var errUnanswered = errors.New("it hasn't answered yet")

// leaveRemotes ends that remote data centers are followed when the local one has had enough nodes for long.
func (rt *route) leaveRemotes(now time.Time) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if from := rt.answers[0].eligible; rt.serving != 0 || from.IsZero() || now.Sub(from) < idleTime {
		return
	}
	for i := 1; i < len(rt.answers); i++ {
		if stop := rt.answers[i].stop; stop != nil {
			stop()
		}
		rt.answers[i] = answer{}
	}
}

// idleTime is how long a service that nobody watches is followed after it was looked up last, and a remote data center
// after it was needed last.
const idleTime = 10 * time.Minute

// stop ends that it is followed.
func (rt *route) stop() {
	rt.end()
	rt.mu.Lock()
	rt.timer.Stop()
	rt.mu.Unlock()
	rt.End()
}

func (rt *route) status() ServiceStatus {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	s := ServiceStatus{
		Name: rt.name, Since: rt.since, Back: rt.back, Nodes: make(map[string]int), Errs: make(map[string]error),
	}
	for i := range rt.answers {
		name := rt.datacenters[i].name
		if rt.answers[i].known {
			s.Nodes[name] = len(rt.answers[i].records)
		}
		if err := rt.answers[i].err; err != nil {
			s.Errs[name] = err
		}
	}
	if rt.serving != nobody {
		s.Datacenter = rt.datacenters[rt.serving].name
	}
	return s
}
