package chaos

import (
	"fmt"
	"testing"
	"time"

	"github.com/micro-etcd/micro-etcd/test/chaos/check"
	"github.com/micro-etcd/micro-etcd/test/chaos/cluster"
	"github.com/micro-etcd/micro-etcd/test/chaos/history"
	"github.com/micro-etcd/micro-etcd/test/chaos/process"
	"github.com/micro-etcd/micro-etcd/test/chaos/record"
	"github.com/micro-etcd/micro-etcd/test/relay"
)

// threeMembers is a cluster with a provider and a consumer.
func threeMembers(t *testing.T, ttl time.Duration) (env *testEnv, provider, consumer *process.Process) {
	t.Helper()
	env = newEnv(t, 3)
	provider = env.process("provider")
	consumer = env.follower("consumer", "greeter")
	for i := range 10 {
		env.register(provider, "greeter", fmt.Sprint("n", i), ttl)
	}
	env.converge(time.Second, "views agree before")
	return env, provider, consumer
}

// membersKilledInTurn kills one member after the other, each longer than the TTL. Nothing excuses a missing record.
func membersKilledInTurn(t *testing.T) {
	env, p, _ := threeMembers(t, 10*time.Second)
	for i, m := range env.cluster.Members {
		if i == 1 {
			env.stopMember(m)
		} else {
			env.killMember(m)
		}
		env.register(p, "greeter", "changing", 10*time.Second)
		env.converge(time.Second+electionLimit, "member killed: a change is seen")
		env.wait(12 * time.Second)
		env.startEtcd()
		env.wait(3 * time.Second)
	}
	leader, err := env.cluster.Leader(env.ctx)
	env.must(err)
	env.killMember(leader)
	env.wait(12 * time.Second)
	env.startEtcd()
	env.converge(check.ViewLag, "members killed in turn: views agree")
	env.calm()
	env.end()
}

// membersReplaced replaces one member after the other by a new one without data. Nothing excuses a missing record.
func membersReplaced(t *testing.T) {
	env, p, _ := threeMembers(t, 10*time.Second)
	for _, m := range env.cluster.Members {
		env.fault(history.FaultProcess, func() error { return env.cluster.Replace(env.ctx, m) }, "replace %s", m.Name)
		env.register(p, "greeter", "changing", 10*time.Second)
		env.converge(time.Second+electionLimit, "member replaced: a change is seen")
		env.wait(12 * time.Second)
	}
	env.calm()
	env.end()
}

// electionLimit is how long three members may take to find out that their leader has gone, and elect another one.
const electionLimit = 4 * time.Second

// leaderPaused stops the leader for less than the TTL. Nothing excuses a missing record.
func leaderPaused(t *testing.T) {
	env := pauseLeader(t, 20*time.Second)
	env.wait(3 * time.Second)
	env.calm()
	env.end()
}

// leaderPausedPastTheTTL wakes a leader up when, by its own reckoning, all leases have run out. It may then have them
// revoked by its successor (etcd#15247), which the owners have to heal.
func leaderPausedPastTheTTL(t *testing.T) {
	env := pauseLeader(t, 45*time.Second)
	env.wait(3 * time.Second) // in which that happens
	env.excuseFaults(3 * time.Second)
	env.converge(2*time.Second, "leader continued past the TTL: views agree")
	env.end()
}

// pauseLeader stops the leader for a while, in which nothing may be lost, and continues it.
func pauseLeader(t *testing.T, d time.Duration) *testEnv {
	t.Helper()
	env, p, c := threeMembers(t, 30*time.Second)
	other := env.process("other")
	leases := env.leases(p)
	leader, err := env.cluster.Leader(env.ctx)
	env.must(err)
	env.excuse(c, 15*time.Second, "its watch is at the stopped leader")
	began := time.Now()
	env.pauseMember(leader)
	env.register(other, "greeter", "news", 30*time.Second)
	env.converge(15*time.Second, "leader stopped: views agree")
	env.wait(d - time.Since(began))
	if now := env.leases(p); now != leases {
		t.Errorf("leases %s became %s", leases, now)
	}
	env.calm()
	env.resumeMember(leader)
	return env
}

// blackHole holds what goes between some processes and two of three members, with no reset.
func blackHole(t *testing.T, directions ...relay.Direction) {
	t.Helper()
	env, p, c := threeMembers(t, 30*time.Second)
	other := env.process("other")
	leases := env.leases(p)
	env.excuse(c, 15*time.Second, "it can't know yet")
	env.blackHole(p, env.cluster.Members[:2], directions...)
	env.blackHole(c, env.cluster.Members[:2], directions...)
	env.register(other, "greeter", "news", 30*time.Second)
	env.converge(15*time.Second, "black hole: moved to another member")
	env.wait(35 * time.Second)
	if now := env.leases(p); now != leases {
		t.Errorf("leases %s became %s", leases, now)
	}
	env.connect(p)
	env.connect(c)
	env.register(p, "greeter", "n1", 30*time.Second)
	env.converge(time.Second, "black hole over: views agree")
	env.calm()
	env.end()
}

// staleMember isolates each member in turn from the others, while changes go on.
func staleMember(t *testing.T) {
	env, _, c := threeMembers(t, 30*time.Second)
	other := env.process("other")
	calls, late := 0, 0
	change := func() {
		calls++
		if env.attempt(other, env.registration(other, "greeter", "news", 30*time.Second)).Err != "" {
			late++
		}
	}
	for _, m := range env.cluster.Members {
		env.excuse(c, 15*time.Second, "its watch may be at the isolated member")
		env.history.Add(history.Event{
			Took: 5*time.Second + check.Noise, Kind: history.KindExcuse,
			Text: "a held-up write may land late, and the one that mends it be at the isolated member",
		})
		env.isolate(m)
		change()
		env.converge(15*time.Second, "member isolated: views agree")
		for range 5 {
			change()
			env.wait(300 * time.Millisecond)
		}
		env.calm()
		env.rejoin(m)
		env.back(2*time.Second, "member rejoins: records are right")
		env.converge(2*time.Second, "member rejoins: views agree")
	}
	env.report(measurement{
		what: "member isolated: calls of Register that took longer than Timeout",
		note: fmt.Sprintf("%d of %d", late, calls),
	})
	env.end()
}

// staleMemberAlone isolates the only member that a consumer knows. Until the member is back, its view stays as it was.
func staleMemberAlone(t *testing.T) {
	env := newEnv(t, 3)
	leader, err := env.cluster.Leader(env.ctx)
	env.must(err)
	m := env.cluster.Members[0]
	if m == leader {
		m = env.cluster.Members[1]
	}
	p := env.process("provider")
	c := env.processAt("consumer", []*cluster.Member{m}, process.Setup{Timeout: callTimeout})
	env.register(p, "greeter", "n1", 30*time.Second)
	env.follow(c, "greeter")
	env.converge(time.Second, "views agree before")
	env.excuse(c, 25*time.Second, "its only member is isolated")
	env.isolate(m)
	for began := time.Now(); time.Since(began) < 20*time.Second; env.wait(time.Second) {
		env.attempt(p, env.registration(p, "greeter", "n1", 30*time.Second)) // may ask the isolated member, in vain
	}
	env.calm()
	env.rejoin(m)
	env.back(2*time.Second, "the only member rejoins: pending record taken")
	env.converge(5*time.Second, "the only member rejoins: views agree")
	env.end()
}

func leaderIsolated(t *testing.T) {
	env, p, c := threeMembers(t, 10*time.Second)
	leader, err := env.cluster.Leader(env.ctx)
	env.must(err)
	env.excuse(c, 15*time.Second, "its watch may be at the isolated leader")
	env.isolate(leader)
	env.wait(5 * time.Second)
	env.attempt(p, env.registration(p, "greeter", "n1", 10*time.Second))
	env.converge(15*time.Second, "leader isolated: views agree")
	env.wait(15 * time.Second)
	env.calm()
	env.rejoin(leader)
	env.back(2*time.Second, "leader rejoins: records are right")
	env.converge(2*time.Second, "leader rejoins: views agree")
	env.end()
}

// massExpiry cuts the services off until all their leases have run out.
func massExpiry(t *testing.T) {
	env := newEnv(t, 1)
	p := env.process("provider")
	env.follower("consumer", "greeter")
	var keys []string
	for i := range 8 {
		env.register(p, "greeter", fmt.Sprint("n", i), 5*time.Second)
		keys = append(keys, fmt.Sprint("greeter/n", i))
	}
	env.converge(time.Second, "views agree before")
	env.cut(p)
	env.untilGone(keys...)
	env.converge(time.Second, "mass expiry: views tell the truth")
	env.connect(p)
	env.back(2*time.Second, "mass expiry over: records back")
	env.converge(2*time.Second, "mass expiry over: views agree")
	env.end()
}

// serviceCutOff refuses a service's connections for less than its TTL, again and again.
func serviceCutOff(t *testing.T) {
	env := newEnv(t, 1)
	p := env.process("provider")
	c := env.follower("consumer", "greeter")
	env.register(p, "greeter", "n1", 10*time.Second)
	for range 5 {
		env.excuse(c, 3*time.Second, "it is cut off")
		env.cut(p)
		env.cut(c)
		env.attempt(p, env.registration(p, "greeter", "n2", 10*time.Second))
		env.connect(p)
		env.connect(c)
		env.back(2*time.Second, "connection back: pending record taken")
		env.converge(2*time.Second, "connection back: views agree")
	}
	env.end()
}

func connectionsReset(t *testing.T) {
	env := newEnv(t, 1)
	p := env.process("provider")
	c := env.follower("consumer", "greeter")
	env.register(p, "greeter", "n1", 5*time.Second)
	for range 10 {
		env.reset(p)
		env.reset(c)
		env.tell(p, env.registration(p, "greeter", "n2", 5*time.Second))
		env.converge(time.Second, "connections reset: views agree")
		env.wait(500 * time.Millisecond)
	}
	env.calm()
	env.end()
}

// fleetReconnects measures what many registries ask of etcd when it is back after an outage.
func fleetReconnects(t *testing.T) {
	const processes, each, ttl = 4, 50, 30 * time.Second
	env := newEnv(t, 1)
	for i := range processes {
		p := env.process(fmt.Sprint("fleet-", i))
		env.tell(p, process.Command{
			Do: "fleet", Service: record.New("greeter", "1", p.Name, p.Name, "1"), TTL: ttl, Count: each,
		})
	}
	have, err := env.records()
	env.must(err)
	for _, value := range have {
		env.wants(record.Parse(value), ttl)
	}
	if len(env.want) != processes*each {
		t.Errorf("%d records", len(env.want))
	}
	env.killEtcd()
	env.wait(10 * time.Second)
	l := env.measureLoad()
	env.startEtcd()
	env.back(2*time.Second, "200 registries after an outage: records back")
	env.wait(5 * time.Second)
	l.end("200 registries after an outage: requests")
	env.calm()
	l = env.measureLoad()
	env.wipe()
	env.back(check.ProbeInterval, "200 registries after a wipe: records back")
	env.wait(5 * time.Second)
	l.end("200 registries after a wipe: requests")
	env.end()
}
