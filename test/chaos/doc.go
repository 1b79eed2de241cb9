// Package chaos proves what the registry promises with real processes and real faults: etcd's own binaries, services
// that are processes of their own and use nothing but the public API, and relays between all of them. It records what
// everybody did and saw, with times, and holds that against the promises (P2 to P6).
//
//	cluster    etcd's processes, and the network between them
//	process    service processes
//	history    what everybody did and saw; record tells the records apart
//	check      holds a history against the promises
//	rounds     one member of three fails
//
// Here are the scenarios, what they are made of, and what is measured in them.
//
//	make chaos                     the named scenarios and some random ones
//	make chaos MINUTES=30          random ones for half an hour
//	make rounds                    one member of three fails, 200 times
//	CHAOS=ci go test -race ./chaos -run TestScenario/KeyDeleted
//	CHAOS=ci go test -race -count=10 ./chaos -run TestMassSickness
//
// Without CHAOS, go test runs what takes seconds: the checker's own tests, the relays', and one short scenario.
//
// # How to write a scenario
//
// A scenario is a function of [testing.T] in a list (named_test.go). It starts an environment, sets processes up, does
// something to it, says what has to be so again, and when, and ends:
//
//	func keyDeleted(t *testing.T) {
//		env := newEnv(t, 1)                                 // etcd with one member
//		p := env.process("provider")
//		env.follower("consumer", "greeter")                 // watches it, and looks it up all the time
//		env.register(p, "greeter", "n1", 30*time.Second)
//		env.delete("greeter/n1")                            // the fault
//		env.back(time.Second, "key deleted: record back")   // what is promised of it
//		env.converge(time.Second, "key deleted: views agree")
//		env.end()                                           // rest, close, look for leftovers, check
//	}
//
// The verbs are in faults.go and measure.go. Nothing that a scenario doesn't say is excused: a record must never be
// missing from etcd or from a view, but between a fault and the bound of the back or gone that follows. calm takes even
// that away, for faults that must not harm, and excuse gives it to one process's views. A scenario can look well and
// still fail in end, which checks every moment of its history.
//
// The bounds are the product's promises. Because tests share their machine, noise is added when they are asserted; what
// is reported is what was measured. The table is printed and kept in .bin/chaos/measurements.txt.
//
// # How to reproduce a failure
//
// A failing scenario or seed says where it left its history (one JSON object a line) and everybody's logs. A random run
// draws its whole schedule from its seed:
//
//	CHAOS_SEED=4711 go test -race -count=1 ./chaos -run TestRandom
//
// # Rounds
//
// In a round one member of three is killed, frozen, slow, or cut off, from its clients or from its peers, for longer
// than twice the longest TTL. Four processes with TTLs from 5 s have records of which none may be missing from etcd for
// a moment, and make calls that have two seconds, counted from when etcd takes a write: that is where elections, and a
// slow machine, are allowed for. Everything is drawn from the seed and the round's number.
//
//	make rounds                                200 of them, six at a time
//	make rounds SEED=4711 ROUNDS=1 FIRST=17    one of them again
//
// What a frozen leader does when it goes on is not looked at: it revokes every lease (etcd#15247).
//
// # What can't be done here
//
// No clock is changed: the clock that a process and etcd measure by is monotonic, and a test can't move it. A suspended
// machine is a process that is stopped by SIGSTOP past its TTL, but its clock goes on. A black hole swallows no
// packets: a relay holds what it was given and delivers it later, which is what TCP makes of packets lost for a while,
// and it accepts connections that a real one would leave waiting. A member that is killed loses no written data, since
// the machine lives on.
package chaos
