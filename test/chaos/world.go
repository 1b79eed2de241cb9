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

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/relay"
)

// world is what a scenario happens in: a cluster, service processes with a way of their own to each member, and the
// history of what they all say. Its methods fail the test when they can't do what they are for.
type world struct {
	t       testing.TB
	ctx     context.Context
	dir     string
	cluster *cluster
	history *history
	watched sync.WaitGroup // the observer
	unwatch context.CancelFunc

	processes map[string]*process
	ways      map[string][]*relay.Relay // a process's relays, one for each member

	lossy bool              // that a fault could keep a process from learning of its lease, or from revoking it
	since time.Time         // when the first fault began that nobody has measured yet
	ready time.Time         // when etcd could take everything again
	seq   int               // of the records made so far
	want  map[string]string // the mark of the record that each key should hold
	ttls  map[string]time.Duration
}

// scenarioLimit is how long a scenario may take. None waits so long: it is for one that hangs.
const scenarioLimit = 6 * time.Minute

// begin starts a cluster of one or three members with additional flags. Scenarios run in parallel.
func begin(t testing.TB, size int, flags ...string) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), scenarioLimit)
	w := &world{
		t: t, ctx: ctx, dir: t.TempDir(), history: &history{}, processes: map[string]*process{}, ways: map[string][]*relay.Relay{},
		want: map[string]string{}, ttls: map[string]time.Duration{},
	}
	t.Cleanup(cancel)
	var err error
	w.cluster, err = startCluster(ctx, w.dir, size, flags...)
	w.must(err)
	t.Cleanup(w.clean)
	observed, unwatch := context.WithCancel(ctx)
	w.unwatch = unwatch
	w.watched.Go(func() { observe(observed, w.cluster, w.history) })
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// clean ends every process, whatever has become of the scenario, and keeps the evidence of a failure.
func (w *world) clean() {
	for _, p := range w.processes {
		_ = p.resume() // fails when it has ended
		p.kill()
	}
	w.unwatch()
	w.watched.Wait()
	for _, way := range w.ways {
		for _, r := range way {
			r.End()
		}
	}
	w.cluster.end()
	if w.t.Failed() {
		w.keep()
	}
}

// keep writes the history and the logs to a directory that survives.
func (w *world) keep() {
	dir, err := os.MkdirTemp("", "chaos-"+filepath.Base(w.t.Name())+"-")
	if err != nil {
		w.t.Error(err)
		return
	}
	files := map[string]string{"history.jsonl": string(w.history.lines()), "etcd.log": w.cluster.log()}
	for name, p := range w.processes {
		files[name+".log"] = p.log.String()
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			w.t.Error(err)
		}
	}
	w.t.Log("history and logs are in", dir)
}

// callTimeout is the Timeout that service processes use.
const callTimeout = 5 * time.Second

// process starts a service process with a way of its own to each member.
func (w *world) process(name string) *process {
	w.t.Helper()
	return w.processAt(name, w.cluster.members, setup{Timeout: callTimeout})
}

// processAt starts one that knows only some of the members.
func (w *world) processAt(name string, members []*member, s setup) *process {
	w.t.Helper()
	for _, m := range members {
		r, err := relay.Start(loopback(0), m.client, relay.NewLink(), nil)
		w.must(err)
		w.ways[name] = append(w.ways[name], r)
		s.Endpoints = append(s.Endpoints, r.Address())
	}
	p, err := startProcess(name, s, w.history)
	w.must(err)
	w.processes[name] = p
	return p
}

// follower starts a process that follows services.
func (w *world) follower(name string, services ...string) *process {
	w.t.Helper()
	p := w.process(name)
	w.follow(p, services...)
	return p
}

func (w *world) follow(p *process, services ...string) {
	w.t.Helper()
	for _, s := range services {
		w.tell(p, command{Do: "follow", Name: s})
	}
}

// tell has a process do something, and fails if that failed.
func (w *world) tell(p *process, c command) event {
	w.t.Helper()
	e := w.attempt(p, c)
	if e.Err != "" {
		w.t.Fatalf("%s: %s: %s", p.name, c.Do, e.Err)
	}
	return e
}

// attempt has a process do something that may fail.
func (w *world) attempt(p *process, c command) event {
	w.t.Helper()
	e, err := p.ask(w.ctx, c)
	w.must(err)
	return e
}

// register has a process register a new record of its own.
func (w *world) register(p *process, service, node string, ttl time.Duration) {
	w.t.Helper()
	w.tell(p, w.registration(p, service, node, ttl))
}

// registration makes a new record and notes that it is wanted from now on.
func (w *world) registration(p *process, service, node string, ttl time.Duration) command {
	w.seq++
	s := record(service, "1", node, p.name, strconv.Itoa(w.seq))
	w.wants(s, ttl)
	return command{Do: "register", Service: s, TTL: ttl}
}

func (w *world) wants(s *registry.Service, ttl time.Duration) {
	w.want[keyOf(s)], w.ttls[keyOf(s)] = markOf(canonical(s)), ttl
}

// serve has a process run a real go-micro service, a greeter, whose node go-micro calls greeter-node.
func (w *world) serve(p *process, node string, ttl, interval time.Duration) {
	w.t.Helper()
	const service = "greeter"
	c := w.registration(p, service, service+"-"+node, ttl)
	c.Do, c.Interval = "serve", interval
	c.Service.Nodes[0].Id, c.Service.Version = node, "rpc" // it has no metadata, and one version has one
	w.tell(p, c)
}

// deregister has a process deregister a node, and forgets that it was wanted if it was this process's.
func (w *world) deregister(p *process, service, node string) event {
	w.t.Helper()
	s := record(service, "1", node, p.name, "")
	if strings.HasPrefix(w.want[keyOf(s)], p.name+"#") {
		delete(w.want, keyOf(s))
	}
	return w.attempt(p, command{Do: "deregister", Service: s})
}

// kill kills a process. Its records are no longer wanted.
func (w *world) kill(p *process) {
	w.fault(faultService, func() error { p.kill(); return nil }, "kill %s", p.name)
	w.unwant(p)
}

// leave closes a process. Its records are no longer wanted.
func (w *world) leave(p *process) event {
	w.t.Helper()
	w.unwant(p)
	answer, err := p.close(w.ctx)
	w.must(err)
	return answer
}

func (w *world) unwant(p *process) {
	maps.DeleteFunc(w.want, func(_, mark string) bool { return strings.HasPrefix(mark, p.name+"#") })
}

// records returns what etcd has now.
func (w *world) records() (map[string]string, error) {
	records := map[string]string{}
	return records, w.cluster.try(w.ctx, time.Second, func(ctx context.Context, c *clientv3.Client) error {
		return readRecords(ctx, c, records)
	})
}

func readRecords(ctx context.Context, c *clientv3.Client, into map[string]string) error {
	all, err := c.Get(ctx, etcd.DefaultPrefix, clientv3.WithPrefix())
	if err != nil {
		return err
	}
	for _, kv := range all.Kvs {
		value := string(kv.Value)
		if s := parse(value); s != nil {
			value = canonical(s)
		}
		into[strings.TrimPrefix(string(kv.Key), etcd.DefaultPrefix)] = value
	}
	return nil
}

// eventually waits until something is so, and returns when it was.
func (w *world) eventually(limit time.Duration, what string, is func() bool) time.Time {
	w.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		if is() {
			return time.Now()
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("not within %v: %s", limit, what)
		}
		w.wait(5 * time.Millisecond)
	}
}

// wait lets time pass: the fault lasts that long.
func (w *world) wait(d time.Duration) {
	w.t.Helper()
	select {
	case <-time.After(d):
	case <-w.ctx.Done():
		w.t.Fatal("the scenario takes too long")
	}
}

// untilGone waits until etcd doesn't have the keys any more: measuring begins there.
func (w *world) untilGone(keys ...string) {
	w.t.Helper()
	w.ready = w.eventually(time.Minute, "the records have gone", func() bool {
		have, err := w.records()
		return err == nil && !slices.ContainsFunc(keys, func(k string) bool { return have[k] != "" })
	})
}

// untilChanged waits until a key isn't a process's any more.
func (w *world) untilChanged(key, process string) {
	w.t.Helper()
	w.ready = w.eventually(time.Minute, "the record has gone", func() bool {
		have, err := w.records()
		return err == nil && ownerIn(have[key]) != process
	})
}

// leases returns the leases of a process's nodes, as its Status says.
func (w *world) leases(p *process) string {
	w.t.Helper()
	var all []string
	for line := range strings.Lines(w.tell(p, command{Do: "status"}).Text) {
		if f := strings.Fields(line); len(f) > 2 && strings.HasPrefix(f[2], "lease=") {
			all = append(all, f[0]+" "+f[2])
		}
	}
	return strings.Join(all, "\n")
}

// lease returns one node's.
func (w *world) lease(p *process, node string) string {
	w.t.Helper()
	for line := range strings.Lines(w.leases(p)) {
		if strings.Contains(line, "/"+node+" ") {
			return line
		}
	}
	w.t.Fatalf("%s has no node %s", p.name, node)
	return ""
}
