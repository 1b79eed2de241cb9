package chaos

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/test/chaos/cluster"
	"github.com/micro-etcd/micro-etcd/test/chaos/history"
	"github.com/micro-etcd/micro-etcd/test/chaos/process"
	"github.com/micro-etcd/micro-etcd/test/chaos/record"
	"github.com/micro-etcd/micro-etcd/test/relay"
)

// testEnv is what a scenario happens in: a cluster, service processes with a relay of their own to each member, and the
// history of what they all say. Its methods fail the test when they can't do what they are for.
type testEnv struct {
	t            testing.TB
	ctx          context.Context
	dir          string
	cluster      *cluster.Cluster
	history      *history.History
	observer     sync.WaitGroup
	stopObserver context.CancelFunc

	processes map[string]*process.Process
	relays    map[string][]*relay.Relay // a process's relays, one for each member

	lossy bool              // that a fault could keep a process from learning of its lease, or from revoking it
	since time.Time         // when the first fault began that nobody has measured yet
	ready time.Time         // when etcd could take everything again
	seq   int               // of the records made so far
	want  map[string]string // the mark of the record that each key should hold
	ttls  map[string]time.Duration
}

// scenarioLimit is how long a scenario may take. None waits so long: it is for one that hangs.
const scenarioLimit = 6 * time.Minute

// newEnv starts a cluster of one or three members with additional flags. Scenarios run in parallel.
func newEnv(tb testing.TB, size int, flags ...string) *testEnv {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), scenarioLimit)
	env := &testEnv{
		t: tb, ctx: ctx, dir: tb.TempDir(), history: &history.History{},
		processes: map[string]*process.Process{}, relays: map[string][]*relay.Relay{},
		want: map[string]string{}, ttls: map[string]time.Duration{},
	}
	tb.Cleanup(cancel)
	var err error
	env.cluster, err = cluster.Start(ctx, env.dir, size, flags...)
	env.must(err)
	tb.Cleanup(env.clean)
	observing, stop := context.WithCancel(ctx)
	env.stopObserver = stop
	env.observer.Go(func() { observe(observing, env.cluster, env.history) })
	return env
}

func (env *testEnv) must(err error) {
	env.t.Helper()
	if err != nil {
		env.t.Fatal(err)
	}
}

// clean ends every process, whatever has become of the scenario, and keeps the evidence of a failure.
func (env *testEnv) clean() {
	for _, p := range env.processes {
		_ = p.Resume() // fails when it has ended
		p.Kill()
	}
	env.stopObserver()
	env.observer.Wait()
	for _, relays := range env.relays {
		for _, r := range relays {
			r.End()
		}
	}
	env.cluster.Close()
	if env.t.Failed() {
		env.keep()
	}
}

// keep writes the history and the logs to a directory that survives.
func (env *testEnv) keep() {
	dir, err := os.MkdirTemp("", "chaos-"+filepath.Base(env.t.Name())+"-")
	if err != nil {
		env.t.Error(err)
		return
	}
	files := map[string]string{"history.jsonl": string(env.history.Lines()), "etcd.log": env.cluster.Log()}
	for name, p := range env.processes {
		files[name+".log"] = p.Log.String()
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			env.t.Error(err)
		}
	}
	env.t.Log("history and logs are in", dir)
}

// callTimeout is the Timeout that service processes use.
const callTimeout = 5 * time.Second

// process starts a service process with a relay of its own to each member.
func (env *testEnv) process(name string) *process.Process {
	env.t.Helper()
	return env.processAt(name, env.cluster.Members, process.Setup{Timeout: callTimeout})
}

// processAt starts one that knows only some of the members.
func (env *testEnv) processAt(name string, members []*cluster.Member, s process.Setup) *process.Process {
	env.t.Helper()
	for _, m := range members {
		r, err := relay.Start(cluster.Loopback(0), m.ClientAddr, relay.NewLink(), nil)
		env.must(err)
		env.relays[name] = append(env.relays[name], r)
		s.Endpoints = append(s.Endpoints, r.Address())
	}
	p, err := process.Start(name, s, env.history)
	env.must(err)
	env.processes[name] = p
	return p
}

// follower starts a process that follows services.
func (env *testEnv) follower(name string, services ...string) *process.Process {
	env.t.Helper()
	p := env.process(name)
	env.follow(p, services...)
	return p
}

func (env *testEnv) follow(p *process.Process, services ...string) {
	env.t.Helper()
	for _, s := range services {
		env.tell(p, process.Command{Do: "follow", Name: s})
	}
}

// tell has a process do something, and fails if that failed.
func (env *testEnv) tell(p *process.Process, c process.Command) history.Event {
	env.t.Helper()
	e := env.attempt(p, c)
	if e.Err != "" {
		env.t.Fatalf("%s: %s: %s", p.Name, c.Do, e.Err)
	}
	return e
}

// attempt has a process do something that may fail.
func (env *testEnv) attempt(p *process.Process, c process.Command) history.Event {
	env.t.Helper()
	e, err := p.Ask(env.ctx, c)
	env.must(err)
	return e
}

// register has a process register a new record of its own.
func (env *testEnv) register(p *process.Process, service, node string, ttl time.Duration) {
	env.t.Helper()
	env.tell(p, env.registration(p, service, node, ttl))
}

// registration makes a new record and notes that it is wanted from now on.
func (env *testEnv) registration(p *process.Process, service, node string, ttl time.Duration) process.Command {
	env.seq++
	s := record.New(service, "1", node, p.Name, strconv.Itoa(env.seq))
	env.wants(s, ttl)
	return process.Command{Do: "register", Service: s, TTL: ttl}
}

func (env *testEnv) wants(s *registry.Service, ttl time.Duration) {
	env.want[record.KeyOf(s)], env.ttls[record.KeyOf(s)] = record.MarkOf(record.Canonical(s)), ttl
}

// serve has a process run a real go-micro service, a greeter, whose node go-micro calls greeter-node.
func (env *testEnv) serve(p *process.Process, node string, ttl, interval time.Duration) {
	env.t.Helper()
	const service = "greeter"
	c := env.registration(p, service, service+"-"+node, ttl)
	c.Do, c.Interval = "serve", interval
	c.Service.Nodes[0].Id, c.Service.Version = node, "rpc" // it has no metadata, and one version has one
	env.tell(p, c)
}

// deregister has a process deregister a node, and forgets that it was wanted if it was this process's.
func (env *testEnv) deregister(p *process.Process, service, node string) history.Event {
	env.t.Helper()
	s := record.New(service, "1", node, p.Name, "")
	if strings.HasPrefix(env.want[record.KeyOf(s)], p.Name+"#") {
		delete(env.want, record.KeyOf(s))
	}
	return env.attempt(p, process.Command{Do: "deregister", Service: s})
}

// leave closes a process. Its records are no longer wanted.
func (env *testEnv) leave(p *process.Process) history.Event {
	env.t.Helper()
	env.unwant(p)
	answer, err := p.Close(env.ctx)
	env.must(err)
	return answer
}

func (env *testEnv) unwant(p *process.Process) {
	maps.DeleteFunc(env.want, func(_, mark string) bool { return strings.HasPrefix(mark, p.Name+"#") })
}

// records returns what etcd has now.
func (env *testEnv) records() (map[string]string, error) {
	records := map[string]string{}
	return records, env.cluster.Try(env.ctx, time.Second, func(ctx context.Context, c *clientv3.Client) error {
		return readRecords(ctx, c, records)
	})
}

// eventually waits until something is so, and returns when it was.
func (env *testEnv) eventually(limit time.Duration, what string, is func() bool) time.Time {
	env.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		if is() {
			return time.Now()
		}
		if time.Now().After(deadline) {
			env.t.Fatalf("not within %v: %s", limit, what)
		}
		env.wait(5 * time.Millisecond)
	}
}

// wait lets time pass: the fault lasts that long.
func (env *testEnv) wait(d time.Duration) {
	env.t.Helper()
	select {
	case <-time.After(d):
	case <-env.ctx.Done():
		env.t.Fatal("the scenario takes too long")
	}
}

// untilGone waits until etcd doesn't have the keys any more: measuring begins there.
func (env *testEnv) untilGone(keys ...string) {
	env.t.Helper()
	env.ready = env.eventually(time.Minute, "the records have gone", func() bool {
		have, err := env.records()
		return err == nil && !slices.ContainsFunc(keys, func(k string) bool { return have[k] != "" })
	})
}

// untilChanged waits until a key isn't a process's any more.
func (env *testEnv) untilChanged(key, owner string) {
	env.t.Helper()
	env.ready = env.eventually(time.Minute, "the record has gone", func() bool {
		have, err := env.records()
		return err == nil && record.OwnerIn(have[key]) != owner
	})
}

// leases returns the leases of a process's nodes, as its Status says.
func (env *testEnv) leases(p *process.Process) string {
	env.t.Helper()
	var all []string
	for line := range strings.Lines(env.tell(p, process.Command{Do: "status"}).Text) {
		if f := strings.Fields(line); len(f) > 2 && strings.HasPrefix(f[2], "lease=") {
			all = append(all, f[0]+" "+f[2])
		}
	}
	return strings.Join(all, "\n")
}

// lease returns one node's.
func (env *testEnv) lease(p *process.Process, node string) string {
	env.t.Helper()
	for line := range strings.Lines(env.leases(p)) {
		if strings.Contains(line, "/"+node+" ") {
			return line
		}
	}
	env.t.Fatalf("%s has no node %s", p.Name, node)
	return ""
}
