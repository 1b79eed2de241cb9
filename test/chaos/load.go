package chaos

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// load counts the requests that etcd gets, of a cluster with one member.
type load struct {
	env     *testEnv
	stop    context.CancelFunc
	running sync.WaitGroup
	counts  []float64 // one for each loadEvery in which etcd answered, since its start
}

const loadEvery = 100 * time.Millisecond

// measureLoad begins to count. It may be called while etcd is away.
func (env *testEnv) measureLoad() *load {
	l := &load{env: env}
	ctx, stop := context.WithCancel(env.ctx)
	l.stop = stop
	l.running.Go(func() {
		ticker := time.NewTicker(loadEvery)
		defer ticker.Stop()
		for ctx.Err() == nil {
			n, err := env.cluster.Metric(ctx, "grpc_server_started_total")
			if err == nil {
				l.counts = append(l.counts, n)
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
	})
	return l
}

// end reports what was counted. The counts include the scenario's own requests, some 60 a second.
func (l *load) end(what string) {
	l.env.t.Helper()
	l.stop()
	l.running.Wait()
	before, total, peak := 0.0, 0.0, 0.0
	for _, n := range l.counts {
		if n < before { // etcd was started anew
			before = 0
		}
		total += n - before
		peak = max(peak, n-before)
		before = n
	}
	l.env.report(
		measurement{what: what, note: fmt.Sprintf("%.0f requests, at most %.0f in %v", total, peak, loadEvery)},
	)
}
