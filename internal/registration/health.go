package registration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/internal/brake"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/prober"
	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// This file is how a node's own checks take it out of service.

// runChecks runs the checks that the record should have, and no others.
func (g *registration) runChecks(ctx context.Context, d *desired) {
	var checks *[]prober.Check
	if d.record != nil && g.shared.Checks != nil {
		checks = g.shared.Checks(d.record)
	}
	if checks == g.checks {
		return
	}
	if checks == nil {
		g.stopChecks()
		return
	}
	if g.checks != nil {
		g.endChecks()
	}
	g.checks = checks
	ctx, g.endChecks = context.WithCancel(ctx)
	p := g.newProber(*checks)
	g.shared.Connector.Go(func() { p.Run(ctx) })
}

// newProber replaces the prober that there may be. Checks of the same name go on from what they know.
func (g *registration) newProber(checks []prober.Check) *prober.Prober {
	var p *prober.Prober
	p = prober.New(checks, g.address, func(reason string) { g.setSick(p, reason) }, g.shared.Changed)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.prober != nil {
		p.Continue(g.prober, g.sick != "")
	}
	g.prober = p
	g.shared.Changed()
	return p
}

// stopChecks doesn't wait for a check that is under way.
func (g *registration) stopChecks() {
	if g.checks == nil {
		return
	}
	g.endChecks()
	g.checks = nil
	g.mu.Lock()
	defer g.mu.Unlock()
	g.prober, g.sick = nil, ""
	g.releaseLocked()
	g.shared.Changed()
}

// address returns the node's, for the checks. One that has just been deregistered has the last one.
func (g *registration) address() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if d := g.latestLocked(); d != nil {
		return d.record.Node.Address
	}
	return ""
}

// setSick notes what a prober found: why the node should be out of service, or "".
func (g *registration) setSick(p *prober.Prober, reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.prober != p {
		return
	}
	g.sick = reason
	if reason == "" {
		g.releaseLocked()
	}
	g.shared.Changed()
	g.wake.Send()
}

// isSick reports whether the node's own checks want it out of service.
func (g *registration) isSick() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sick != "" && g.drain == nil
}

// leave puts a node out of service that its checks found sick, unless too many of its service are out already. No two
// nodes do so at once: each leaves a notice, which must be none that wasn't counted.
func (g *registration) leave(ctx context.Context, d *desired) error {
	count := clientv3.OpGet(g.shared.Keys.Dir(d.record.Name), clientv3.WithPrefix())
	for try := 1; ; try++ {
		at, answer, err := g.shared.read(ctx, g.key, count)
		if err != nil {
			return err
		}
		o := g.inspect(at, d)
		switch o {
		case ownerNotice:
			return g.write(ctx, d, o, at, false) // somebody drained it meanwhile
		case ownerOther:
			return g.accept(ctx, o, at)
		}
		kvs := answer.Responses[2].GetResponseRange().Kvs
		nodes := brake.Count(g.shared.Keys, d.record.Name, kvs, at.revision)
		if at.record == nil {
			nodes.In++
		}
		stays := !g.isSick()
		if !stays && !nodes.MayLeave() {
			g.hold(fmt.Sprintf("%d of %d nodes are in service, and at most half may be out", nodes.In, nodes.In+nodes.Out))
			stays = true
		}
		switch {
		case stays && o == ownerSelf:
			return g.accept(ctx, o, at)
		case stays:
			return g.write(ctx, d, o, at, false)
		}
		n := g.ownNotice(d)
		answer, err = g.put(ctx, d, n, at, nodes.Guard())
		switch {
		case err != nil:
			return err
		case answer.Succeeded:
			g.wrote(d, n, at, answer.Header.Revision, false)
			return nil
		case try >= maxTries && o == ownerSelf:
			return g.accept(ctx, o, at) // and again when it is due
		}
		retry.Sleep(ctx, retry.Backoff(try, nil)) // others leave at this moment
	}
}

// ownNotice returns the notice of the node's own checks.
func (g *registration) ownNotice(d *desired) *catalog.Notice {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ownNoticeLocked(d)
}

func (g *registration) ownNoticeLocked(d *desired) *catalog.Notice {
	n := &catalog.Notice{Reason: g.sick, Since: time.Now().UTC(), Record: d.value}
	if g.placed != nil && g.placed.notice.By == "" {
		n.Since = g.placed.notice.Since
	}
	return n
}

func (g *registration) hold(why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held == "" {
		defer g.shared.Changed()
	}
	g.held = why
	g.holds++
}

const (
	// maxTries bounds how often a node in service tries to leave at one go, while others do. One without a record tries
	// until the round ends.
	maxTries = 4
	// minHold is how long a node stays in service at least before it tries again to leave. It doubles up to maxHold:
	// each try lists the service's keys.
	minHold = 2 * time.Second
	maxHold = 30 * time.Second
)

// due returns what receives when there will be something to do: a drain that ends, or another try to leave.
func (g *registration) due() (at <-chan time.Time, stop func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var in time.Duration
	switch {
	case g.owner == ownerNotice && g.drain != nil && !g.drain.Until.IsZero():
		in = max(0, time.Until(g.drain.Until))
	case g.owner == ownerSelf && g.sick != "":
		in = min(minHold<<min(g.holds, 8), maxHold)
		in += rand.N(in / 2)
	default:
		return nil, func() {}
	}
	timer := time.NewTimer(in)
	return timer.C, func() { timer.Stop() }
}
