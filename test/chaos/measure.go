package chaos

import (
	"context"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/chaos/check"
	"github.com/micro-etcd/micro-etcd/test/chaos/history"
	"github.com/micro-etcd/micro-etcd/test/chaos/process"
	"github.com/micro-etcd/micro-etcd/test/chaos/record"
)

// patience is how much longer than promised a measurement goes on, so that a broken promise is measured too.
const patience = 30 * time.Second

// back measures how long after the last fault etcd has again what is wanted. From the first fault until then, records
// may be missing.
func (env *testEnv) back(bound time.Duration, what string) {
	env.t.Helper()
	env.measure(bound, what, func() bool {
		have, err := env.records()
		if err != nil {
			return false
		}
		for key, mark := range env.want {
			if record.MarkOf(have[key]) != mark {
				return false
			}
		}
		return true
	})
	env.excuseFaults(bound)
}

// converge measures how long after the last fault every lookup and every watcher says what etcd holds. It excuses
// nothing.
func (env *testEnv) converge(bound time.Duration, what string) {
	env.t.Helper()
	defer func() {
		if text := env.divergences(); env.t.Failed() && text != "" {
			env.t.Log(text)
		}
	}()
	env.measure(bound, what, env.converged)
}

func (env *testEnv) converged() bool { return env.divergences() == "" }

func (env *testEnv) divergences() string {
	truth, err := env.records()
	if err != nil {
		return err.Error()
	}
	return strings.Join(check.Divergences(env.history.All(), time.Now(), truth), "\n")
}

// gone measures how long after the last fault a key has vanished from etcd.
func (env *testEnv) gone(bound time.Duration, what, key string) {
	env.t.Helper()
	env.measure(bound, what, func() bool {
		have, err := env.records()
		return err == nil && have[key] == ""
	})
	env.excuseFaults(bound)
}

// measure waits for something, notes how long after the last fault it came, and asserts its bound.
func (env *testEnv) measure(bound time.Duration, what string, is func() bool) {
	env.t.Helper()
	if env.since.IsZero() {
		env.ready = time.Now()
	}
	took := env.eventually(bound+patience, what, is).Sub(env.ready)
	env.report(measurement{what: what, bound: bound, took: took})
}

func (env *testEnv) report(m measurement) {
	env.t.Helper()
	parts := strings.Split(strings.TrimPrefix(env.t.Name(), "Test"), "/")
	m.scenario = parts[0]
	if m.scenario == "Scenario" {
		m.scenario = parts[1]
	}
	scenarioReport.add(m)
	if m.bound > 0 && m.took > m.bound+check.Noise {
		env.t.Errorf("%s: %v, promised %v", m.what, m.took, m.bound)
	}
}

// untouched asserts that nobody writes to the id that two processes use, during f and a while after. What is written
// and put right at once escapes the history, whose looks at etcd lie apart.
func (env *testEnv) untouched(d time.Duration, f func()) {
	env.t.Helper()
	const key = "greeter/n1"
	before := env.revision(key)
	f()
	env.wait(d)
	if after := env.revision(key); after != before {
		env.t.Errorf("%s was written: revision %d became %d", key, before, after)
	}
}

// revision returns the one at which a key was written last.
func (env *testEnv) revision(key string) int64 {
	env.t.Helper()
	revision := int64(0)
	env.must(env.cluster.Do(env.ctx, func(ctx context.Context, c *clientv3.Client) error {
		found, err := c.Get(ctx, etcd.DefaultPrefix+key)
		if err == nil && len(found.Kvs) == 1 {
			revision = found.Kvs[0].ModRevision
		}
		return err
	}))
	return revision
}

// calm says that the faults so far excuse nothing.
func (env *testEnv) calm() { env.since = time.Time{} }

// excuse lets a process's view be wrong for a while from now.
func (env *testEnv) excuse(p *process.Process, d time.Duration, why string) {
	env.history.Add(history.Event{Process: p.Name, Took: d + check.Noise, Kind: history.KindExcuse, Text: why})
}

// excuseFaults excuses what was missing since the first fault that hasn't been measured, until the bound after the
// last.
func (env *testEnv) excuseFaults(bound time.Duration) {
	if env.since.IsZero() {
		return
	}
	until := env.ready.Add(bound + check.Noise)
	env.history.Add(history.Event{At: env.since, Took: until.Sub(env.since), Kind: history.KindExcuse})
	env.since = time.Time{}
}
