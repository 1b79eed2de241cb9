package chaos

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// patience is how much longer than promised a measurement goes on, so that a broken promise has a figure too.
const patience = 30 * time.Second

// back measures how long after the last fault etcd has again what is wanted. From the first fault until then, records
// may be missing.
func (w *world) back(bound time.Duration, what string) {
	w.t.Helper()
	w.measure(bound, what, func() bool {
		have, err := w.records()
		if err != nil {
			return false
		}
		for key, mark := range w.want {
			if markOf(have[key]) != mark {
				return false
			}
		}
		return true
	})
	w.settle(bound)
}

// agree measures how long after the last fault every lookup and every watcher says what etcd holds. It excuses nothing.
func (w *world) agree(bound time.Duration, what string) {
	w.t.Helper()
	defer func() {
		if text := w.disagreements(); w.t.Failed() && text != "" {
			w.t.Log(text)
		}
	}()
	w.measure(bound, what, w.agreed)
}

func (w *world) agreed() bool { return w.disagreements() == "" }

func (w *world) disagreements() string {
	truth, err := w.records()
	if err != nil {
		return err.Error()
	}
	return strings.Join(disagreements(w.history.all(), time.Now(), truth), "\n")
}

// gone measures how long after the last fault a key has vanished from etcd.
func (w *world) gone(bound time.Duration, what, key string) {
	w.t.Helper()
	w.measure(bound, what, func() bool {
		have, err := w.records()
		return err == nil && have[key] == ""
	})
	w.settle(bound)
}

// measure waits for something, notes how long after the last fault it came, and asserts its bound.
func (w *world) measure(bound time.Duration, what string, is func() bool) {
	w.t.Helper()
	if w.since.IsZero() {
		w.ready = time.Now()
	}
	took := w.eventually(bound+patience, what, is).Sub(w.ready)
	w.figure(figure{what: what, bound: bound, measured: took})
}

func (w *world) figure(f figure) {
	w.t.Helper()
	parts := strings.Split(strings.TrimPrefix(w.t.Name(), "Test"), "/")
	f.scenario = parts[0]
	if f.scenario == "Scenario" {
		f.scenario = parts[1]
	}
	measured.add(f)
	if f.bound > 0 && f.measured > f.bound+noise {
		w.t.Errorf("%s: %v, promised %v", f.what, f.measured, f.bound)
	}
}

// untouched asserts that nobody writes to the id that two processes use, during f and a while after. What is written and put right at once escapes the history,
// whose looks at etcd lie apart.
func (w *world) untouched(d time.Duration, f func()) {
	w.t.Helper()
	const key = "greeter/n1"
	before := w.revision(key)
	f()
	w.wait(d)
	if after := w.revision(key); after != before {
		w.t.Errorf("%s was written: revision %d became %d", key, before, after)
	}
}

// revision returns the one at which a key was written last.
func (w *world) revision(key string) int64 {
	w.t.Helper()
	revision := int64(0)
	w.must(w.cluster.do(w.ctx, func(ctx context.Context, c *clientv3.Client) error {
		found, err := c.Get(ctx, etcd.DefaultPrefix+key)
		if err == nil && len(found.Kvs) == 1 {
			revision = found.Kvs[0].ModRevision
		}
		return err
	}))
	return revision
}

// calm says that the faults so far excuse nothing.
func (w *world) calm() { w.since = time.Time{} }

// excuse lets a process's view be wrong for a while from now.
func (w *world) excuse(p *process, d time.Duration, why string) {
	w.history.add(event{Process: p.name, Took: d + noise, Kind: kindExcuse, Text: why})
}

// settle excuses what was missing since the first fault that hasn't been measured, until the bound after the last.
func (w *world) settle(bound time.Duration) {
	if w.since.IsZero() {
		return
	}
	until := w.ready.Add(bound + noise)
	w.history.add(event{At: w.since, Took: until.Sub(w.since), Kind: kindExcuse})
	w.since = time.Time{}
}

// end lets the world come to rest, compares everything, closes every process, and holds the history against the promises.
func (w *world) end() {
	w.t.Helper()
	quiet := time.Now()
	calm := w.settled(quiet)
	w.observed()
	w.history.add(event{Kind: kindQuiet})
	w.observed()
	if !calm {
		w.t.Errorf("no rest after %v", time.Since(quiet))
	}
	w.closeAll()
	w.history.add(event{Kind: kindRemain, Text: w.remains()})
	w.unwatch()
	w.watched.Wait()
	if gap := longestGap(w.history.all()); gap > 0 {
		w.figure(figure{what: "longest time that a record was missing, the fault included", measured: gap})
	}
	for _, v := range check(w.history.all()) {
		w.t.Error(v)
	}
}

// observed waits until etcd, and every view, has been looked at once more.
func (w *world) observed() {
	now := time.Now()
	w.eventually(patience, "etcd is looked at", func() bool { return w.history.observed.Load() > now.UnixNano() })
	w.wait(2 * lookEvery)
}

// settled waits until nothing differs any more, and reports whether it came to that.
func (w *world) settled(from time.Time) bool {
	for time.Since(from) < viewLag+patience {
		if w.agreed() {
			return true
		}
		w.wait(observeEvery)
	}
	return false
}

func (w *world) closeAll() {
	var all sync.WaitGroup
	errs := make(chan error, len(w.processes))
	for _, p := range w.processes {
		all.Go(func() {
			answer, err := p.close(w.ctx)
			if err == nil && answer.Err != "" {
				err = fmt.Errorf("close %s: %s", p.name, answer.Err)
			}
			errs <- err
		})
	}
	all.Wait()
	for range w.processes {
		if err := <-errs; err != nil {
			w.t.Error(err)
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

// remains returns what is left in etcd when everything there should have gone.
func (w *world) remains() string {
	limit := time.Second
	if w.lossy {
		limit += w.longestTTL() + expirySlack
	}
	noted := false
	for began := time.Now(); ; w.wait(20 * time.Millisecond) {
		left, err := w.remaining()
		if err != nil {
			return err.Error()
		}
		waited := time.Since(began)
		if left.String() == "" || waited > limit {
			return left.String()
		}
		if orphans := left.leases - len(left.keys); waited > time.Second && orphans > 0 && !noted {
			noted = true
			w.figure(figure{what: "leases without a record after Close, until their TTL", note: strconv.Itoa(orphans)})
		}
	}
}

func (w *world) longestTTL() time.Duration {
	longest := time.Duration(0)
	for _, ttl := range w.ttls {
		longest = max(longest, ttl)
	}
	return longest
}

func (w *world) remaining() (leftovers, error) {
	var left leftovers
	err := w.cluster.do(w.ctx, func(ctx context.Context, c *clientv3.Client) error {
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
	watches, err := w.cluster.metric(w.ctx, "etcd_debugging_mvcc_watcher_total")
	if err != nil {
		return left, err
	}
	left.watches = int(watches)
	have, err := w.records()
	for key, value := range have {
		if ownerIn(value) != "" {
			left.keys = append(left.keys, key)
		}
	}
	slices.Sort(left.keys)
	return left, err
}
