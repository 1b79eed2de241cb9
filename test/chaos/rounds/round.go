// Package rounds lets one member of three fail, again and again, and looks for records that are missing and for calls
// that are late. Everything is drawn from a seed and the round's number.
package rounds

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// What happens to one member of three in a round.
const (
	roundKill    = "kill"        // SIGKILL
	roundFreeze  = "freeze"      // SIGSTOP
	roundCut     = "cut off"     // clients hear nothing, without a reset
	roundCutHalf = "cut one way" // the same in one direction
	roundSlow    = "slow"        // answers, but seconds late
	roundIsolate = "isolate"     // clients reach it, its peers don't
)

var (
	roundFaults = []string{roundKill, roundFreeze, roundCut, roundCutHalf, roundSlow, roundIsolate}
	roundRTTs   = []time.Duration{0, 20 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond}
	roundTTLs   = []time.Duration{5 * time.Second, 6 * time.Second, 7 * time.Second, 10 * time.Second, 15 * time.Second}
)

// Round is what happens in one round. It is drawn from the seed and the round's number, so that one can be run again.
type Round struct {
	Number    int
	fault     string
	leader    bool // else a follower
	follower  int  // which of the two
	direction int  // for roundCutHalf
	rtt       time.Duration
	added     time.Duration // for roundSlow
	before    time.Duration // from the last registration to the fault
	providers []providerPlan
}

// providerPlan is what one process does in a round.
type providerPlan struct {
	ttl    time.Duration
	bursts []time.Duration // when, after the fault, it makes its calls
	closes int             // the burst in which its second registry is closed
}

// Draw draws a round.
func Draw(seed uint64, number int) *Round {
	random := rand.New(rand.NewPCG(seed, uint64(number)))
	upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
	r := &Round{
		Number: number, fault: roundFaults[number%len(roundFaults)],
		leader: random.IntN(2) == 0, follower: random.IntN(2), direction: random.IntN(2),
		rtt: roundRTTs[random.IntN(len(roundRTTs))], added: time.Second + upTo(2*time.Second),
		before: upTo(3 * time.Second),
	}
	// The longest makes a round ten seconds longer, and is the least in danger: it is drawn less often.
	ttls := roundTTLs[:4]
	if random.IntN(4) == 0 {
		ttls = roundTTLs[1:]
	}
	for _, ttl := range ttls {
		r.providers = append(r.providers, providerPlan{
			ttl:    ttl,
			bursts: []time.Duration{upTo(300 * time.Millisecond), 3*time.Second + upTo(5*time.Second)},
			closes: random.IntN(2),
		})
	}
	return r
}

// lasts is how long the fault stays: after an election every lease has its whole TTL again.
func (r *Round) lasts() time.Duration {
	return 2*r.providers[len(r.providers)-1].ttl + 3*time.Second
}

func (r *Round) String() string {
	whom := "a follower"
	if r.leader {
		whom = "the leader"
	}
	text := fmt.Sprintf("round %d: %s %s, round trip %v", r.Number, r.fault, whom, r.rtt)
	switch r.fault {
	case roundSlow:
		text += fmt.Sprintf(", %v added", r.added.Round(time.Millisecond))
	case roundCutHalf:
		text += ", " + []string{"to the server", "to the client"}[r.direction]
	}
	return text
}
