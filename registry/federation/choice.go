package federation

import (
	"time"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// This file is which data center serves a service. It is a function of what they have said, and of the time.

const (
	// patience is how long a data center that is preferred may take to answer, until another one that has answered
	// serves meanwhile.
	patience = time.Second
	// healTime is how long nodes may be gone whose registry has lost and restored them: twice what ours promises.
	healTime = 5 * time.Second
)

// nobody serves a service that no data center has.
const nobody = -1

// answer is what a data center has last said of a service.
type answer struct {
	asked   time.Time // since when it is asked; zero if it isn't
	stop    func()    // ends that
	known   bool      // it has answered
	records []*catalog.Record
	err     error     // why it couldn't be asked last; nil if it could
	enough  time.Time // since when it has enough nodes to serve; zero if it hasn't
	lost    *loss     // when it lost the service to another one; nil if it didn't
}

// loss is that a data center has lost a service to another one.
type loss struct {
	at    time.Time
	nodes map[string]string // addresses by id, that it had served with
}

// isPending reports whether an answer is worth waiting for.
func (a *answer) isPending(now time.Time) bool {
	return !a.known && a.err == nil && now.Before(a.asked.Add(patience))
}

// isHealed reports whether nodes are back that were lost a moment ago.
func (a *answer) isHealed(now time.Time) bool {
	if now.Sub(a.lost.at) > healTime {
		return false
	}
	for _, r := range a.records {
		if address, was := a.lost.nodes[r.Node.Id]; was && address == r.Node.Address {
			return true
		}
	}
	return false
}

// choice is what comes of the answers.
type choice struct {
	serving int       // the data center that serves, or nobody
	open    bool      // one that is preferred may still answer, so that nothing changes for now
	ask     bool      // the remote data centers have to be asked
	again   time.Time // when to choose again even if nothing happens; zero for never
}

// choose says who serves after whom. A data center that can't be asked counts with what it said last: it is cut off,
// and its services may be well.
func choose(answers []answer, serving int, hold time.Duration, now time.Time) choice {
	best := nobody
	for i := range answers {
		a := &answers[i]
		if !a.enough.IsZero() {
			best = i
			break
		}
		switch {
		case a.asked.IsZero():
			return choice{serving: serving, open: true, ask: true}
		case a.isPending(now):
			return choice{serving: serving, open: true, again: a.asked.Add(patience)}
		}
	}
	if best == nobody && len(answers[0].records) > 0 {
		best = 0 // too few are better than none
	}
	if back := holdEnd(answers, serving, best, hold, now); !back.IsZero() {
		return choice{serving: serving, again: back}
	}
	return choice{serving: best}
}

// holdEnd returns until when a service stays where it is; zero if it doesn't.
func holdEnd(answers []answer, serving, best int, hold time.Duration, now time.Time) time.Time {
	if serving == nobody || best == nobody || best >= serving || answers[serving].enough.IsZero() {
		return time.Time{}
	}
	a := &answers[best]
	if a.lost == nil || a.isHealed(now) {
		return time.Time{}
	}
	if end := a.enough.Add(hold); now.Before(end) {
		return end
	}
	return time.Time{}
}
