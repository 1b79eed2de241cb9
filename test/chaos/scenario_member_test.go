package chaos

import (
	"fmt"
	"testing"
	"time"

	"github.com/micro-etcd/micro-etcd/test/relay"
)

// threeMembers is a cluster with a provider and a consumer.
func threeMembers(t *testing.T, ttl time.Duration) (w *world, provider, consumer *process) {
	w = begin(t, 3)
	provider = w.process("provider")
	consumer = w.follower("consumer", "greeter")
	for i := range 10 {
		w.register(provider, "greeter", fmt.Sprint("n", i), ttl)
	}
	w.agree(time.Second, "views agree before")
	return w, provider, consumer
}

// membersKilledInTurn kills one member after the other, each longer than the TTL. Nothing excuses a missing record.
func membersKilledInTurn(t *testing.T) {
	w, p, _ := threeMembers(t, 10*time.Second)
	for i, m := range w.cluster.members {
		if i == 1 {
			w.stopMember(m)
		} else {
			w.killMember(m)
		}
		w.register(p, "greeter", "changing", 10*time.Second)
		w.agree(time.Second+electionLimit, "member killed: a change is seen")
		w.wait(12 * time.Second)
		w.startEtcd()
		w.wait(3 * time.Second)
	}
	leader, err := w.cluster.leader(w.ctx)
	w.must(err)
	w.killMember(leader)
	w.wait(12 * time.Second)
	w.startEtcd()
	w.agree(viewLag, "members killed in turn: views agree")
	w.calm()
	w.end()
}

// electionLimit is how long three members may take to find out that their leader has gone, and elect another one.
const electionLimit = 4 * time.Second

// leaderPaused stops the leader for less than the TTL. Nothing excuses a missing record.
func leaderPaused(t *testing.T) {
	w := pauseLeader(t, 20*time.Second)
	w.wait(3 * time.Second)
	w.calm()
	w.end()
}

// leaderPausedPastTheTTL wakes a leader up when, by its own reckoning, all leases have run out. It may then have them
// revoked by its successor (etcd#15247), which the owners have to heal.
func leaderPausedPastTheTTL(t *testing.T) {
	w := pauseLeader(t, 45*time.Second)
	w.wait(3 * time.Second) // in which that happens
	w.settle(3 * time.Second)
	w.agree(2*time.Second, "leader continued past the TTL: views agree")
	w.end()
}

// pauseLeader stops the leader for a while, in which nothing may be lost, and continues it.
func pauseLeader(t *testing.T, d time.Duration) *world {
	w, p, c := threeMembers(t, 30*time.Second)
	other := w.process("other")
	leases := w.leases(p)
	leader, err := w.cluster.leader(w.ctx)
	w.must(err)
	w.excuse(c, 15*time.Second, "its watch is at the stopped leader")
	began := time.Now()
	w.pauseMember(leader)
	w.register(other, "greeter", "news", 30*time.Second)
	w.agree(15*time.Second, "leader stopped: views agree")
	w.wait(d - time.Since(began))
	if now := w.leases(p); now != leases {
		t.Errorf("leases %s became %s", leases, now)
	}
	w.calm()
	w.resumeMember(leader)
	return w
}

// blackHole holds what goes between some processes and two of three members, with no reset.
func blackHole(t *testing.T, ways ...relay.Direction) {
	w, p, c := threeMembers(t, 30*time.Second)
	other := w.process("other")
	leases := w.leases(p)
	w.excuse(c, 15*time.Second, "it can't know yet")
	w.blackHole(p, w.cluster.members[:2], ways...)
	w.blackHole(c, w.cluster.members[:2], ways...)
	w.register(other, "greeter", "news", 30*time.Second)
	w.agree(15*time.Second, "black hole: moved to another member")
	w.wait(35 * time.Second)
	if now := w.leases(p); now != leases {
		t.Errorf("leases %s became %s", leases, now)
	}
	w.connect(p)
	w.connect(c)
	w.register(p, "greeter", "n1", 30*time.Second)
	w.agree(time.Second, "black hole over: views agree")
	w.calm()
	w.end()
}

// staleMember isolates each member in turn from the others, while changes go on.
func staleMember(t *testing.T) {
	w, _, c := threeMembers(t, 30*time.Second)
	other := w.process("other")
	calls, late := 0, 0
	change := func() {
		calls++
		if w.attempt(other, w.registration(other, "greeter", "news", 30*time.Second)).Err != "" {
			late++
		}
	}
	for _, m := range w.cluster.members {
		w.excuse(c, 15*time.Second, "its watch may be at the isolated member")
		w.history.add(event{Took: 5*time.Second + noise, Kind: kindExcuse, Text: "a held-up write may land late, and the one that mends it be at the isolated member"})
		w.isolate(m)
		change()
		w.agree(15*time.Second, "member isolated: views agree")
		for range 5 {
			change()
			w.wait(300 * time.Millisecond)
		}
		w.calm()
		w.rejoin(m)
		w.back(2*time.Second, "member rejoins: records are right")
		w.agree(2*time.Second, "member rejoins: views agree")
	}
	w.figure(figure{what: "member isolated: calls of Register that took longer than Timeout", note: fmt.Sprintf("%d of %d", late, calls)})
	w.end()
}

// staleMemberAlone isolates the only member that a consumer knows. Until the member is back, its view stays as it was.
func staleMemberAlone(t *testing.T) {
	w := begin(t, 3)
	leader, err := w.cluster.leader(w.ctx)
	w.must(err)
	m := w.cluster.members[0]
	if m == leader {
		m = w.cluster.members[1]
	}
	p := w.process("provider")
	c := w.processAt("consumer", []*member{m}, setup{Timeout: callTimeout})
	w.register(p, "greeter", "n1", 30*time.Second)
	w.follow(c, "greeter")
	w.agree(time.Second, "views agree before")
	w.excuse(c, 25*time.Second, "its only member is isolated")
	w.isolate(m)
	for began := time.Now(); time.Since(began) < 20*time.Second; w.wait(time.Second) {
		w.attempt(p, w.registration(p, "greeter", "n1", 30*time.Second)) // may ask the isolated member, in vain
	}
	w.calm()
	w.rejoin(m)
	w.back(2*time.Second, "the only member rejoins: pending record taken")
	w.agree(5*time.Second, "the only member rejoins: views agree")
	w.end()
}

func leaderIsolated(t *testing.T) {
	w, p, c := threeMembers(t, 10*time.Second)
	leader, err := w.cluster.leader(w.ctx)
	w.must(err)
	w.excuse(c, 15*time.Second, "its watch may be at the isolated leader")
	w.isolate(leader)
	w.wait(5 * time.Second)
	w.attempt(p, w.registration(p, "greeter", "n1", 10*time.Second))
	w.agree(15*time.Second, "leader isolated: views agree")
	w.wait(15 * time.Second)
	w.calm()
	w.rejoin(leader)
	w.back(2*time.Second, "leader rejoins: records are right")
	w.agree(2*time.Second, "leader rejoins: views agree")
	w.end()
}

// massExpiry cuts the services off until all their leases have run out.
func massExpiry(t *testing.T) {
	w := begin(t, 1)
	p := w.process("provider")
	w.follower("consumer", "greeter")
	var keys []string
	for i := range 8 {
		w.register(p, "greeter", fmt.Sprint("n", i), 5*time.Second)
		keys = append(keys, fmt.Sprint("greeter/n", i))
	}
	w.agree(time.Second, "views agree before")
	w.cut(p)
	w.untilGone(keys...)
	w.agree(time.Second, "mass expiry: views tell the truth")
	w.connect(p)
	w.back(2*time.Second, "mass expiry over: records back")
	w.agree(2*time.Second, "mass expiry over: views agree")
	w.end()
}

// serviceCutOff refuses a service's connections for less than its TTL, again and again.
func serviceCutOff(t *testing.T) {
	w := begin(t, 1)
	p := w.process("provider")
	c := w.follower("consumer", "greeter")
	w.register(p, "greeter", "n1", 10*time.Second)
	for range 5 {
		w.excuse(c, 3*time.Second, "it is cut off")
		w.cut(p)
		w.cut(c)
		w.attempt(p, w.registration(p, "greeter", "n2", 10*time.Second))
		w.connect(p)
		w.connect(c)
		w.back(2*time.Second, "connection back: pending record taken")
		w.agree(2*time.Second, "connection back: views agree")
	}
	w.end()
}

func connectionsReset(t *testing.T) {
	w := begin(t, 1)
	p := w.process("provider")
	c := w.follower("consumer", "greeter")
	w.register(p, "greeter", "n1", 5*time.Second)
	for range 10 {
		w.reset(p)
		w.reset(c)
		w.tell(p, w.registration(p, "greeter", "n2", 5*time.Second))
		w.agree(time.Second, "connections reset: views agree")
		w.wait(500 * time.Millisecond)
	}
	w.calm()
	w.end()
}

// fleetReconnects measures what many registries ask of etcd when it is back after an outage.
func fleetReconnects(t *testing.T) {
	const processes, each, ttl = 4, 50, 30 * time.Second
	w := begin(t, 1)
	for i := range processes {
		p := w.process(fmt.Sprint("fleet-", i))
		w.tell(p, command{Do: "fleet", Service: record("greeter", "1", p.name, p.name, "1"), TTL: ttl, Count: each})
	}
	have, err := w.records()
	w.must(err)
	for _, value := range have {
		w.wants(parse(value), ttl)
	}
	if len(w.want) != processes*each {
		t.Errorf("%d records", len(w.want))
	}
	w.killEtcd()
	w.wait(10 * time.Second)
	l := w.beginLoad()
	w.startEtcd()
	w.back(2*time.Second, "200 registries after an outage: records back")
	w.wait(5 * time.Second)
	l.end("200 registries after an outage: requests")
	w.calm()
	l = w.beginLoad()
	w.wipe()
	w.back(probeInterval, "200 registries after a wipe: records back")
	w.wait(5 * time.Second)
	l.end("200 registries after a wipe: requests")
	w.end()
}
