package etcd

import (
	"context"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// run is the registration's goroutine. It ends when nothing of ours is wished for and
// nothing is there, or with ctx.
func (g *registration) run(ctx context.Context) {
	defer g.unfollow() // the session ends with ctx
	for failures := 0; ; {
		leave := g.enter(ctx)
		w := g.current()
		taken, err := g.reconcile(ctx, w, min(g.registrar.timeout(), firstTry<<min(failures, 8)))
		leave()
		if ctx.Err() != nil {
			return
		}
		var over bool
		if over, err = g.settle(w, err); over {
			return
		}
		if taken {
			g.follow()
		}
		began, disturbed := time.Now(), false
		if err == nil {
			disturbed, err = g.rest(ctx)
		}
		if time.Since(began) > steadyTime {
			failures = 0
		}
		switch {
		case err != nil:
			failures++
			pause(ctx, backoff(failures, err), g.wake)
		case disturbed:
			failures = min(failures+1, maxPacing)
			pause(ctx, backoff(failures, nil), g.wake)
		}
	}
}

// maxPacing bounds how much we slow down for somebody who keeps disturbing the key: at most 400 ms,
// since the record must be back within a second each time.
const maxPacing = 4

// flightTime is how long a put without an answer may still land: etcd gives a request 5 s and
// two election timeouts (server/v3 config, ReqTimeout).
const flightTime = 15 * time.Second

// current returns the wish, once it has been seen to that it hasn't lapsed.
func (g *registration) current() *wish {
	if !g.inFlight.IsZero() && time.Since(g.inFlight) >= flightTime {
		g.inFlight = time.Time{}
	}
	g.expire()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.wish
}

// rest waits for a reason to reconcile again. One that etcd gave is a disturbance: whoever keeps
// deleting the key mustn't make us write it without a pause. An error is that of a watch that failed.
func (g *registration) rest(ctx context.Context) (disturbed bool, err error) {
	var lost, refused <-chan struct{}
	if g.session != nil {
		lost, refused = g.session.lost, g.session.refused
	}
	g.mu.Lock()
	lapse := g.lapse
	g.mu.Unlock()
	var lapsed, landed <-chan time.Time
	if !lapse.IsZero() {
		lapsed = time.After(time.Until(lapse))
	}
	if !g.inFlight.IsZero() {
		landed = time.After(time.Until(g.inFlight.Add(flightTime)))
	}
	for {
		select {
		case <-ctx.Done():
		case <-g.wake:
		case <-lost:
			g.distrust(restoreLeaseLost)
			return true, nil
		case <-refused: // the key is needed on another lease
			return true, nil
		case <-lapsed:
		case <-landed:
		case response, ok := <-g.events:
			if err := watchError(response, ok); err != nil {
				g.unfollow()
				g.renewStream(err)
				g.distrust(restoreWatchEnded)
				return false, err
			}
			if !g.observe(response.Events) {
				return true, nil
			}
			continue
		}
		return false, nil
	}
}

// firstTry bounds the first of several tries; each following one may take twice as long. A
// request that was lost with etcd's leader is never answered, and the next one is within
// milliseconds of there being a new one.
const firstTry = time.Second

// enter waits for a place among the keys that are talked about with etcd. A new wish for a shared lease
// needs none: such writes go into transactions, one after the other.
func (g *registration) enter(ctx context.Context) (leave func()) {
	g.mu.Lock()
	fresh := g.applied != g.wish
	g.mu.Unlock()
	if fresh && g.registrar.leases.shared() {
		return func() {}
	}
	leave, err := g.registrar.enter(ctx)
	if err != nil { // reconciling ends with ctx too
		return func() {}
	}
	return leave
}

// reconcile makes etcd agree with the wish, once. taken says whether etcd has the record, or another
// owner's, and that its key is to be watched from what was found there.
func (g *registration) reconcile(ctx context.Context, w *wish, limit time.Duration) (taken bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if w.record == nil {
		return false, g.remove(ctx)
	}
	g.checkHistory()
	if err = g.fulfil(ctx, w); g.forgetIfLost(err) {
		err = g.fulfil(ctx, w)
		g.forgetIfLost(err) // again: there may be two etcds, and one grants what the other doesn't know
	}
	if err != nil {
		return false, err
	}
	err = g.retire(ctx)
	g.fulfilled(w)
	return true, err
}

// forgetIfLost forgets the session if etcd says that there is no such lease, and reports whether it does.
func (g *registration) forgetIfLost(err error) bool {
	if !errors.Is(err, rpctypes.ErrLeaseNotFound) || g.session == nil {
		return false
	}
	g.forgetSession()
	return true
}

// checkHistory acts on a doubt about etcd's history.
func (g *registration) checkHistory() {
	g.mu.Lock()
	rewritten := g.rewritten
	if rewritten {
		g.rewritten, g.revision = false, 0
	}
	g.mu.Unlock()
	if !rewritten {
		return
	}
	g.unfollow()
	if g.session != nil {
		g.session.doubt()
	}
}

func (g *registration) fulfil(ctx context.Context, w *wish) error {
	if err := g.ensureSession(ctx, w); err != nil {
		return err
	}
	g.mu.Lock()
	fresh, settled := g.applied != w, g.holder != unknown
	g.mu.Unlock()
	if !fresh && settled && g.events != nil {
		return nil
	}
	g.enlist()
	if fresh {
		return g.take(ctx, w)
	}
	return g.restore(ctx, w)
}

// ensureSession gives the wish a living lease of its TTL, which etcd doesn't refuse to renew.
func (g *registration) ensureSession(ctx context.Context, w *wish) error {
	if s := g.session; s != nil {
		switch {
		case s.isLost():
			g.forgetSession()
		case s.isRefused():
			g.replaceSession(restoreLeaseRefused)
		case s.seconds == w.seconds:
			return nil
		default:
			g.replaceSession(restoreRepeated)
		}
	}
	if w.seconds > 0 {
		s, err := g.registrar.leases.take(ctx, w.seconds)
		if err != nil {
			return err
		}
		g.session = s
	}
	g.mu.Lock()
	g.lease = g.session
	g.mu.Unlock()
	return nil
}

// replaceSession has the key put on another lease. The old one is given back when it is there: until then the record
// lives on it.
func (g *registration) replaceSession(cause restoreCause) {
	g.retired = append(g.retired, g.session)
	g.session = nil
	g.distrust(cause)
}

// forgetSession drops a session whose lease is gone, and with it what we know of the key.
func (g *registration) forgetSession() {
	g.registrar.leases.leave(g.session)
	g.session = nil
	g.distrust(restoreLeaseLost)
}
