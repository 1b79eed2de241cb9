package chaos

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/test/chaos/check"
	"github.com/micro-etcd/micro-etcd/test/chaos/history"
	"github.com/micro-etcd/micro-etcd/test/chaos/process"
	"github.com/micro-etcd/micro-etcd/test/chaos/record"
)

// end lets the environment come to rest, compares everything, closes every process, and holds the history against the
// promises.
func (env *testEnv) end() {
	env.t.Helper()
	quiet := time.Now()
	calm := env.awaitConvergence(quiet)
	env.observed()
	env.history.Add(history.Event{Kind: history.KindQuiet})
	env.observed()
	if !calm {
		env.t.Errorf("no rest after %v", time.Since(quiet))
	}
	env.closeAll()
	env.history.Add(history.Event{Kind: history.KindRemain, Text: env.awaitCleanup()})
	env.stopObserver()
	env.observer.Wait()
	if gap := check.LongestGap(env.history.All()); gap > 0 {
		env.report(measurement{what: "longest time that a record was missing, the fault included", took: gap})
	}
	for _, v := range check.History(env.history.All()) {
		env.t.Error(v)
	}
}

// observed waits until etcd, and every view, has been looked at once more.
func (env *testEnv) observed() {
	now := time.Now()
	env.eventually(patience, "etcd is looked at", func() bool { return env.history.Observed.Load() > now.UnixNano() })
	env.wait(2 * process.LookEvery)
}

// awaitConvergence waits until nothing differs any more, and reports whether it came to that.
func (env *testEnv) awaitConvergence(from time.Time) bool {
	for time.Since(from) < check.ViewLag+patience {
		if env.converged() {
			return true
		}
		env.wait(observeEvery)
	}
	return false
}

func (env *testEnv) closeAll() {
	var all sync.WaitGroup
	errs := make(chan error, len(env.processes))
	for _, p := range env.processes {
		all.Go(func() {
			answer, err := p.Close(env.ctx)
			if err == nil && answer.Err != "" {
				err = fmt.Errorf("close %s: %s", p.Name, answer.Err)
			}
			errs <- err
		})
	}
	all.Wait()
	for range env.processes {
		if err := <-errs; err != nil {
			env.t.Error(err)
		}
	}
}

// leftovers are what etcd has of processes that have ended.
type leftovers struct {
	leases, watches int
	keys            []string
}

func (l leftovers) String() string {
	if l.leases == 0 && l.watches == 0 && len(l.keys) == 0 {
		return ""
	}
	return fmt.Sprintf("%d leases, %d watches, keys %v", l.leases, l.watches, l.keys)
}

// awaitCleanup returns what is left in etcd when everything there should have gone.
func (env *testEnv) awaitCleanup() string {
	limit := time.Second
	if env.lossy {
		limit += env.longestTTL() + check.ExpirySlack + check.ExpiryRetry
	}
	noted := false
	for began := time.Now(); ; env.wait(20 * time.Millisecond) {
		left, err := env.remaining()
		if err != nil {
			return err.Error()
		}
		waited := time.Since(began)
		if left.String() == "" || waited > limit {
			return left.String()
		}
		if orphans := left.leases - len(left.keys); waited > time.Second && orphans > 0 && !noted {
			noted = true
			env.report(
				measurement{what: "leases without a record after Close, until their TTL", note: strconv.Itoa(orphans)},
			)
		}
	}
}

func (env *testEnv) longestTTL() time.Duration {
	longest := time.Duration(0)
	for _, ttl := range env.ttls {
		longest = max(longest, ttl)
	}
	return longest
}

func (env *testEnv) remaining() (leftovers, error) {
	var left leftovers
	err := env.cluster.Do(env.ctx, func(ctx context.Context, c *clientv3.Client) error {
		leases, err := c.Leases(ctx)
		if err != nil {
			return err
		}
		left.leases = len(leases.Leases)
		return nil
	})
	if err != nil {
		return left, err
	}
	watches, err := env.cluster.Metric(env.ctx, "etcd_debugging_mvcc_watcher_total")
	if err != nil {
		return left, err
	}
	left.watches = int(watches)
	have, err := env.records()
	for key, value := range have {
		if record.OwnerIn(value) != "" {
			left.keys = append(left.keys, key)
		}
	}
	slices.Sort(left.keys)
	return left, err
}
