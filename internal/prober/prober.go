// Package prober runs the health checks of one node and says when it is sick.
//
//	state.go   what results mean: the checks' thresholds, and the node in service or out of it; no I/O, no clock
//	prober.go  the loops that run the checks, and the one that tells
//	run.go     one run of a check, which may hang or panic
//	reason.go  the text that says why a node is out of service
package prober

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/micro-etcd/micro-etcd/internal/signal"
)

// Prober runs the checks of a node.
type Prober struct {
	checks  []Check
	address func() string
	tell    func(reason string)
	noted   func()
	changed signal.Signal // a check has run

	mu    sync.Mutex
	state state
}

// New returns a prober of a node that is in service. address is asked for the node's address before each run. tell is
// called with the reason when the node goes out of service or the reason becomes another, and with "" when it comes
// back: one call at a time, in order, with no mutex held. A change that is undone before tell returns isn't told. noted
// is called, with no mutex held, when a check has come into another state. It must not block.
func New(checks []Check, address func() string, tell func(reason string), noted func()) *Prober {
	return &Prober{
		checks:  checks,
		address: address,
		tell:    tell,
		noted:   noted,
		changed: signal.New(),
		state:   newState(checks, time.Now()),
	}
}

// Continue takes over what another prober, whose checks are replaced, knows of the checks that this one has, too. told
// says whether a reason to be out of service was the last thing told, which may lag behind what the other one knows. It
// must be called before Run.
func (p *Prober) Continue(from *Prober, told bool) {
	from.mu.Lock()
	was := from.state
	was.checks = slices.Clone(was.checks)
	from.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.inherit(&was, told)
}

// Run runs the checks until ctx ends. It must be called only once. It waits for its goroutines and for tell; for a
// probe that ignores its context, only until the probe's timeout. The end of ctx is no change: tell isn't called.
func (p *Prober) Run(ctx context.Context) {
	var loops sync.WaitGroup
	defer loops.Wait()
	for i := range p.checks {
		loops.Go(func() { p.loop(ctx, i) })
	}
	p.tellChanges(ctx)
}

// Status returns what the checks last said, in the order in which New got them.
func (p *Prober) Status() []Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.statuses()
}

// loop runs one check again and again.
func (p *Prober) loop(ctx context.Context, check int) {
	sleepUntil(ctx, time.Now().Add(jittered(p.checks[check].InitialDelay)))
	for ctx.Err() == nil {
		next := runOnce(ctx, p.checks[check], p.address, func(err error) { p.record(ctx, check, err) })
		sleepUntil(ctx, next)
	}
}

// record takes note of a result, unless ctx has ended: that fails a run, too, but says nothing about the node.
func (p *Prober) record(ctx context.Context, check int, err error) {
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	news := p.state.record(check, err, time.Now())
	p.mu.Unlock()
	if news {
		p.noted()
	}
	p.changed.Send()
}

// tellChanges tells when the node goes out of service and when it comes back.
func (p *Prober) tellChanges(ctx context.Context) {
	for {
		p.mu.Lock()
		cause, changed := p.state.settle(time.Now())
		due := p.state.due()
		p.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return
		case changed:
			p.tell(reason(cause))
		default:
			p.await(ctx, due)
		}
	}
}

// await waits for a result, or until due, if that isn't zero.
func (p *Prober) await(ctx context.Context, due time.Time) {
	var over <-chan time.Time
	if !due.IsZero() {
		timer := time.NewTimer(time.Until(due))
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-p.changed:
	case <-over:
	case <-ctx.Done():
	}
}

func sleepUntil(ctx context.Context, t time.Time) {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
