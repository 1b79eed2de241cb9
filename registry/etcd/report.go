package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/logger"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/etcderr"
	"github.com/micro-etcd/micro-etcd/internal/prober"
	"github.com/micro-etcd/micro-etcd/internal/registration"
	"github.com/micro-etcd/micro-etcd/internal/retry"
	"github.com/micro-etcd/micro-etcd/internal/signal"
	"github.com/micro-etcd/micro-etcd/internal/view"
)

// reporter logs what changes in a registry's Status. It is a goroutine of its own that compares the present with what
// it said last: so a logger that is slow, or hangs, or asks the registry for its Status, holds up nothing else, and a
// quick change back and forth isn't worth a line.
type reporter struct {
	connector  *etcdconn.Connector
	components *atomic.Pointer[components]
	status     func() Status
	logger     func() logger.Logger

	changed signal.Signal // something of Status has
	started atomic.Bool
	done    chan struct{} // closed when it has said its last
	notes   chan func()   // what isn't in Status

	connection    saidOfConnection
	registrations map[string]string // the states that were said, by key; registered if missing
	health        map[string]bool   // what was said of nodes and their checks, by key
	restored      map[string]int    // how often each was put back, by key
	restoresUntil time.Time         // the end of the interval in which that is bounded
	restoresLeft  int               // lines until then
	later         <-chan time.Time  // asks for another look then
	views         map[string]bool   // the prefixes that aren't followed
	cached        bool              // cache files were said to stand in
	cacheErr      bool              // it was said that none can be kept
}

// saidOfConnection is what was said of it last.
type saidOfConnection int

const (
	nothingSaid saidOfConnection = iota
	saidCantConnect
	saidConnected
	saidLost
)

func newReporter(
	c *etcdconn.Connector, now *atomic.Pointer[components], status func() Status, l func() logger.Logger,
) *reporter {
	return &reporter{
		connector: c, components: now, status: status, logger: l,
		changed: signal.New(), done: make(chan struct{}), notes: make(chan func(), maxNotes),
		registrations: make(map[string]string), views: make(map[string]bool),
	}
}

// reportInterval is how long changes are gathered before the reporter looks: a thousand nodes that register at once
// make a thousand of them, and each look goes through all registrations.
const reportInterval = 100 * time.Millisecond

// maxNotes bounds the notes that wait. There are a few a minute at most.
const maxNotes = 16

// note has something logged that isn't in Status. It doesn't block: with a logger that hangs, it is lost.
func (r *reporter) note(log func()) {
	select {
	case r.notes <- log:
	default:
	}
}

// start reports until ctx ends, and what has changed until then. wait waits for its end.
func (r *reporter) start(ctx context.Context) {
	r.started.Store(true)
	go r.run(ctx)
}

func (r *reporter) run(ctx context.Context) {
	defer close(r.done)
	for {
		select {
		case <-r.changed:
			retry.Sleep(ctx, reportInterval)
			r.report()
		case note := <-r.notes:
			note()
		case <-r.later:
			r.later = nil
			r.report()
		case <-ctx.Done():
			r.report()
			return
		}
	}
}

// wait waits until nothing is reported any more, as long as ctx lasts: a logger may hang.
func (r *reporter) wait(ctx context.Context) {
	if !r.started.Load() {
		return
	}
	select {
	case <-r.done:
	case <-ctx.Done():
	}
}

func (r *reporter) report() {
	s := r.status()
	r.reportConnection(s)
	said, health := make(map[string]string, len(r.registrations)), make(map[string]bool)
	for i := range s.Registrations {
		r.reportRegistration(&s.Registrations[i], said)
		r.reportHealth(&s.Registrations[i], health)
	}
	r.registrations, r.health = said, health
	r.reportRestores(s.Registrations)
	broken := make(map[string]bool, len(r.views))
	for i := range s.Followed {
		r.reportView(&s.Followed[i], broken)
	}
	r.views = broken
	r.reportCached(s.Followed)
	r.reportCacheErr(s.CacheErr)
	r.reportMalformed()
}

func (r *reporter) reportConnection(s Status) {
	cl := r.connector.Current()
	if cl == nil {
		return
	}
	was, down := r.connection, cl.IsDown()
	switch {
	case !down && s.Connected:
		if r.connection = saidConnected; was == saidLost || was == saidCantConnect {
			r.infof("connected to etcd again")
		}
	case down && was == nothingSaid:
		r.connection = saidCantConnect
		r.warnf("can't connect to etcd at %v", s.Endpoints)
	case down && was == saidConnected:
		r.connection = saidLost
		r.warnf("lost the connection to etcd; lookups are served from the last view")
	}
}

// reportRegistration notes in said what has been said of it.
func (r *reporter) reportRegistration(g *RegistrationStatus, said map[string]string) {
	was := r.registrations[g.Key]
	switch {
	case g.State == registration.StatePending && g.Err != nil:
		if said[g.Key] = registration.StatePending; was != registration.StatePending {
			r.warnf("registration %s is pending: %v", g.Key, g.Err)
		}
	case g.State == registration.StateSuperseded:
		if said[g.Key] = registration.StateSuperseded; was != registration.StateSuperseded {
			r.warnf("registration %s is superseded: another process took its id; standing by", g.Key)
		}
	case g.State == registration.StateOutOfService:
		if said[g.Key] = g.State; was != g.State {
			r.reportOutOfService(g.Key, g.OutOfService)
		}
	case g.State == registration.StateRegistered:
		switch was {
		case registration.StatePending:
			r.infof("registration %s is in etcd again", g.Key)
		case registration.StateOutOfService:
			r.infof("registration %s is in service again", g.Key)
		}
	case was != "":
		said[g.Key] = was
	}
}

func (r *reporter) reportOutOfService(key string, o *OutOfService) {
	switch {
	case o.By == "":
		r.warnf("registration %s is out of service: %s", key, o.Reason)
	case o.Until.IsZero():
		r.warnf("registration %s is out of service: drained by %.100q: %.300q", key, o.By, o.Reason)
	default:
		r.warnf("registration %s is out of service until %s: drained by %.100q: %.300q",
			key, o.Until.Format(time.RFC3339), o.By, o.Reason)
	}
}

// reportHealth says of each node once that it is held in service, and of each check that it never passes.
func (r *reporter) reportHealth(g *RegistrationStatus, said map[string]bool) {
	if g.Held != "" {
		if said[g.Key] = true; !r.health[g.Key] {
			r.warnf("registration %s fails its checks, but is held in service: %s", g.Key, g.Held)
		}
	}
	for _, c := range g.Checks {
		if c.State != prober.NeverPassed {
			continue
		}
		id := g.Key + "\x00" + c.Name
		if said[id] = true; !r.health[id] {
			r.warnf("check %q of registration %s has never passed, so it doesn't count: %v", c.Name, g.Key, c.Err)
		}
	}
}

// Bounds of what is said of records that were put back: somebody may delete all of a thousand, or one again and again.
const (
	maxRestores     = 10 // lines in each interval; what is more is told together after it
	restoreInterval = 10 * time.Second
)

func (r *reporter) reportRestores(all []RegistrationStatus) {
	now := time.Now()
	begins := !now.Before(r.restoresUntil)
	if begins {
		r.restoresUntil, r.restoresLeft = now.Add(restoreInterval), maxRestores
	}
	said, held := make(map[string]int, len(r.restored)), 0
	for i := range all {
		g := &all[i]
		switch said[g.Key] = g.Restored; {
		case g.Restored == r.restored[g.Key]:
		case r.restoresLeft > 0:
			r.restoresLeft--
			r.infof("registration %s was put back %s after: %s",
				g.Key, g.RestoredAfter.Round(time.Millisecond), strings.ReplaceAll(g.RestoreCause, "_", " "))
		default:
			if held++; !begins {
				said[g.Key] = r.restored[g.Key]
			}
		}
	}
	r.restored = said
	switch {
	case held == 0:
	case begins:
		r.infof("%d more registrations were put back", held)
	case r.later == nil:
		r.later = time.After(r.restoresUntil.Sub(now))
	}
}

// reportView notes in broken that it was said to be.
func (r *reporter) reportView(f *FollowedStatus, broken map[string]bool) {
	was := r.views[f.Prefix]
	switch {
	case !f.Cached.IsZero() && !etcderr.IsAnswer(f.Err): // reportCached
	case f.Ready && f.Err != nil && !errors.Is(f.Err, etcdconn.ErrDisconnected):
		if broken[f.Prefix] = true; !was {
			r.warnf("can't follow %.300q, serving the last view: %v", f.Prefix, f.Err)
		}
	case f.Ready && f.Err == nil && was:
		r.infof("following %.300q again", f.Prefix)
	case was:
		broken[f.Prefix] = true
	}
}

// reportCached says once that cache files stand in for etcd, whatever their number.
func (r *reporter) reportCached(all []FollowedStatus) {
	var oldest *FollowedStatus
	for i := range all {
		if f := &all[i]; !f.Cached.IsZero() && (oldest == nil || f.Cached.Before(oldest.Cached)) {
			oldest = f
		}
	}
	switch {
	case oldest != nil && !r.cached:
		r.cached = true
		r.warnf("etcd doesn't answer; lookups are served from the cache directory: %.300q as of %s ago",
			oldest.Prefix, time.Since(oldest.Cached).Round(time.Second))
	case oldest == nil && r.cached:
		r.cached = false
		r.infof("nothing is served from the cache directory any more")
	}
}

func (r *reporter) reportCacheErr(err error) {
	was := r.cacheErr
	switch r.cacheErr = err != nil; {
	case err != nil && !was:
		r.warnf("can't keep cache files: %v", err)
	case err == nil && was:
		r.infof("keeping cache files again")
	}
}

func (r *reporter) reportMalformed() {
	views := r.components.Load().views
	if views == nil {
		return
	}
	for _, one := range views.Malformed.Take() {
		r.warnf("skipping %q: %s", one.Key, one.Reason)
		if one.Last {
			r.warnf("that was malformed record number %d; Status goes on counting them", view.MaxMalformed)
		}
	}
}

func (r *reporter) infof(format string, args ...any) { r.log(logger.InfoLevel, format, args) }

func (r *reporter) warnf(format string, args ...any) { r.log(logger.WarnLevel, format, args) }

func (r *reporter) log(level logger.Level, format string, args []any) {
	r.logger().Log(level, "etcd registry: "+fmt.Sprintf(format, args...))
}
