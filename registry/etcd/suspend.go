package etcd

import (
	"context"
	"time"
)

// suspension notices that the machine was suspended, or that its clock was set. Go's timers and
// etcd's leases run on monotonic clocks, and ours stands still in a suspended machine while
// etcd's runs on: so leases may have run out before anything here is due.
type suspension struct {
	wall  func() time.Time // the time of day
	ended func()           // called after each; doesn't block
	log   *log
}

const (
	// clockTime is how often the clocks are compared.
	clockTime = 500 * time.Millisecond
	// clockSlack is how far they may come apart in between: etcd's shortest leases live 2 s.
	clockSlack = 2 * time.Second
)

// wallClock returns the time of day without a monotonic reading.
func wallClock() time.Time { return time.Now().Round(0) }

// watch compares the clocks until ctx ends.
func (s suspension) watch(ctx context.Context) {
	wall, monotonic := s.wall(), time.Now()
	for ctx.Err() == nil {
		pause(ctx, clockTime, nil)
		wallBefore, before := wall, monotonic
		wall, monotonic = s.wall(), time.Now()
		if gap := wall.Sub(wallBefore) - monotonic.Sub(before); gap.Abs() > clockSlack {
			s.log.infof("the machine was suspended or its clock set, by %s; checking everything", gap.Round(time.Second))
			s.ended()
		}
	}
}
