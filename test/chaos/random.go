package chaos

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/micro-etcd/micro-etcd/test/chaos/check"
	"github.com/micro-etcd/micro-etcd/test/chaos/cluster"
	"github.com/micro-etcd/micro-etcd/test/chaos/process"
	"github.com/micro-etcd/micro-etcd/test/relay"
)

// random plays a schedule that its seed decides: which faults and what work, in which order, and how long apart. What
// happens in between is up to the machine, so a seed reproduces the schedule, and usually what it shows.
type random struct {
	*testEnv
	rng       *rand.Rand
	providers []*process.Process
	consumers []*process.Process
	started   int // providers so far
	nodes     map[*process.Process]map[[2]string]bool
	faults    int
	rewritten bool // etcd's data have been replaced since the last recovery
}

var randomServices = []string{"greeter", "billing", "search"}

const (
	randomTTL   = 5 * time.Second
	randomSteps = 12
)

func newRandom(tb testing.TB, seed uint64) *random {
	tb.Helper()
	rng := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a schedule has to be reproducible, not secret
	size := 1
	if rng.IntN(3) == 0 {
		size = 3
	}
	r := &random{testEnv: newEnv(tb, size), rng: rng, nodes: map[*process.Process]map[[2]string]bool{}}
	for range 2 {
		r.startProvider()
	}
	for i := range 2 {
		r.consumers = append(r.consumers, r.follower(fmt.Sprint("consumer-", i), randomServices...))
	}
	return r
}

// run does some steps of a fault and work, and rests.
func (r *random) run() {
	r.t.Helper()
	for range randomSteps {
		for range 1 + r.rng.IntN(4) {
			r.work()
		}
		r.disturb()
		if r.rng.IntN(2) == 0 { // else the next fault meets a registry that hasn't recovered
			r.recover()
		}
	}
	r.rest()
	r.end()
	scenarioReport.addSchedule(r.faults)
}

// startProvider starts another provider.
func (r *random) startProvider() {
	r.t.Helper()
	r.started++
	p := r.process(fmt.Sprint("provider-", r.started))
	r.providers = append(r.providers, p)
	r.nodes[p] = map[[2]string]bool{}
}

func (r *random) pick(from []*process.Process) *process.Process { return from[r.rng.IntN(len(from))] }

// node draws a service, and a node of a provider's own: those that fight for an id have scenarios of their own.
func (r *random) node(p *process.Process) (service, node string) {
	return randomServices[r.rng.IntN(len(randomServices))], fmt.Sprint(p.Name, "-", r.rng.IntN(3))
}

// work does what services do. It may fail, because of a fault, and is then made good in rest.
func (r *random) work() {
	r.t.Helper()
	p := r.pick(r.providers)
	service, node := r.node(p)
	switch r.rng.IntN(8) {
	case 0, 1, 2, 3:
		r.nodes[p][[2]string{service, node}] = true
		r.attempt(p, r.registration(p, service, node, randomTTL))
	case 4:
		if r.nodes[p][[2]string{service, node}] {
			delete(r.nodes[p], [2]string{service, node})
			r.deregister(p, service, node)
		}
	case 5:
		r.attempt(r.pick(r.consumers), process.Command{Do: "watch", Name: service})
	case 6:
		r.attempt(r.pick(r.consumers), process.Command{Do: "look", Name: fmt.Sprint("unknown-", r.rng.IntN(100))})
	case 7:
		if len(r.providers) < 4 {
			r.startProvider()
		}
	}
}

// disturb does one fault, with work while it lasts.
func (r *random) disturb() {
	r.t.Helper()
	r.faults++
	faults := []func(){
		r.killOne, r.killAll, r.pauseOne, r.wipeAll, r.restoreOld, r.revokeOne, r.deleteOne, r.junkOne, r.deleteAll,
		r.compact, r.blackHoleOne, r.cutOne, r.slowOne, r.resetOne, r.killProvider, r.pauseProvider, r.isolateOne,
	}
	faults[r.rng.IntN(len(faults))]()
	r.work()
}

// recover wants back what should be there, in the time that the faults since the last recovery allow.
func (r *random) recover() {
	r.t.Helper()
	bound, what := r.promised()
	r.back(bound, what)
	r.rewritten = false
}

func (r *random) promised() (bound time.Duration, what string) {
	if r.rewritten {
		return check.ProbeInterval, "after faults that rewrite etcd: records back"
	}
	return 2 * time.Second, "after other faults: records back"
}

// sustain lets a fault last for up to two TTLs, with work meanwhile.
func (r *random) sustain() {
	r.t.Helper()
	d := time.Duration(r.rng.IntN(int(2*randomTTL/time.Millisecond))) * time.Millisecond
	until := time.Now().Add(d)
	for range r.rng.IntN(3) {
		r.work()
	}
	r.wait(time.Until(until))
}

func (r *random) member() *cluster.Member {
	return r.cluster.Members[r.rng.IntN(len(r.cluster.Members))]
}

func (r *random) anyProcess() *process.Process {
	if r.rng.IntN(2) == 0 {
		return r.pick(r.consumers)
	}
	return r.pick(r.providers)
}

func (r *random) killOne() { r.t.Helper(); r.killMember(r.member()); r.sustain(); r.startEtcd() }
func (r *random) killAll() { r.t.Helper(); r.killEtcd(); r.sustain(); r.startEtcd() }

func (r *random) pauseOne() {
	r.t.Helper()
	m := r.member()
	r.pauseMember(m)
	r.sustain()
	r.resumeMember(m)
}

func (r *random) wipeAll() { r.t.Helper(); r.rewritten = true; r.wipe() }

func (r *random) restoreOld() {
	r.t.Helper()
	r.rewritten = true
	snapshot := r.snapshot()
	for range r.rng.IntN(4) {
		r.work()
	}
	if r.rng.IntN(2) == 0 {
		r.restore(snapshot)
	} else {
		r.restore(snapshot, "--bump-revision", "1000000", "--mark-compacted")
	}
}

// anyKey draws one of the keys that somebody wants, if there are any.
func (r *random) anyKey() (string, bool) {
	p := r.pick(r.providers)
	service, node := r.node(p)
	return service + "/" + node, r.nodes[p][[2]string{service, node}] && r.has(service+"/"+node)
}

func (r *random) has(key string) bool {
	have, err := r.records()
	return err == nil && have[key] != ""
}

func (r *random) revokeOne() {
	r.t.Helper()
	if key, ok := r.anyKey(); ok {
		r.revoke(key)
	}
}

func (r *random) deleteOne() {
	r.t.Helper()
	if key, ok := r.anyKey(); ok {
		r.delete(key)
	}
}

func (r *random) junkOne() {
	r.t.Helper()
	if key, ok := r.anyKey(); ok {
		r.junk(key)
	}
}

func (r *random) blackHoleOne() {
	r.t.Helper()
	p := r.anyProcess()
	directions := [][]relay.Direction{{relay.ToServer}, {relay.ToClient}, {relay.ToServer, relay.ToClient}}[r.rng.IntN(3)]
	r.blackHole(p, r.cluster.Members[:1+r.rng.IntN(len(r.cluster.Members))], directions...)
	r.sustain()
	r.connect(p)
}

func (r *random) cutOne() { r.t.Helper(); p := r.anyProcess(); r.cut(p); r.sustain(); r.connect(p) }

func (r *random) slowOne() {
	r.t.Helper()
	p := r.anyProcess()
	r.slow(p, relay.Direction(r.rng.IntN(2)), time.Duration(r.rng.IntN(2000))*time.Millisecond)
	r.sustain()
	r.connect(p)
}

func (r *random) resetOne() { r.t.Helper(); r.reset(r.anyProcess()) }

func (r *random) killProvider() {
	r.t.Helper()
	if len(r.providers) < 2 {
		return
	}
	i := r.rng.IntN(len(r.providers))
	r.kill(r.providers[i])
	r.providers = append(r.providers[:i:i], r.providers[i+1:]...)
}

func (r *random) pauseProvider() {
	r.t.Helper()
	p := r.pick(r.providers)
	r.pause(p)
	r.wait(time.Duration(r.rng.IntN(10_000)) * time.Millisecond)
	r.resume(p)
}

func (r *random) isolateOne() {
	r.t.Helper()
	m := r.member()
	r.isolate(m)
	r.sustain()
	r.rejoin(m)
}

// rest ends all faults, repeats what may have failed as go-micro would, and waits until all is well.
func (r *random) rest() {
	r.t.Helper()
	bound, _ := r.promised()
	r.excuseFaults(bound) // what is measured then begins with the last of these wishes
	byName := func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }
	for _, p := range r.providers {
		for _, n := range slices.SortedFunc(maps.Keys(r.nodes[p]), byName) {
			c := r.registration(p, n[0], n[1], randomTTL)
			succeeds := func() bool { return r.attempt(p, c).Err == "" }
			r.eventually(check.ProbeInterval, "Register of "+n[1]+" succeeds", succeeds)
		}
	}
	r.recover()
	r.converge(check.ProbeInterval, "at rest: views agree")
}
