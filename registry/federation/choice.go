package federation

import (
	"time"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// This file says which data center serves a service: a function of what they have answered, and of the time.

// healTime is how long nodes may be gone whose registry has lost and restored them: twice what ours promises.
const healTime = 5 * time.Second

// nobody serves a service that no data center has.
const nobody = -1

// answer is what a data center has last said of a service.
type answer struct {
	asked    time.Time // since when it is asked; zero if it isn't
	stop     func()    // ends that
	known    bool      // it has answered
	records  []*catalog.Record
	err      error     // why it couldn't be asked last; nil if it could
	eligible time.Time // since when it has enough nodes to serve; zero if it hasn't
	lost     *loss     // when it had too few nodes, so that another one serves; nil if it didn't
}

// loss is what a data center had lost when another one took over.
type loss struct {
	at    time.Time
	nodes map[string]string // addresses by id
}

// isSilent reports whether it has neither answered nor failed.
func (a *answer) isSilent() bool { return !a.known && a.err == nil }

// isHealed reports whether at least half of the nodes are back that were lost a moment ago: then it was their registry
// that had lost them.
func (a *answer) isHealed(now time.Time) bool {
	back := 0
	for _, r := range a.records {
		if address, was := a.lost.nodes[r.Node.Id]; was && address == r.Node.Address {
			back++
		}
	}
	return back > 0 && 2*back >= len(a.lost.nodes) && now.Sub(a.lost.at) <= healTime
}

// choice is what the answers come to.
type choice struct {
	serving int       // the data center that serves, or nobody
	open    bool      // another answer may still come, so that nothing changes for now
	ask     bool      // the remote data centers have to be asked
	again   time.Time // when to choose again even if nothing happens; zero for never
}

// choose says which data center serves after another one. One that can't be asked counts with what it said last: it is
// cut off, and its services may be well.
func choose(answers []answer, serving int, hold time.Duration, now time.Time) choice {
	best, silent := nobody, false
	for i := range answers {
		a := &answers[i]
		if !a.eligible.IsZero() {
			best = i
			break
		}
		late := a.asked.Add(answerTime)
		switch {
		case a.asked.IsZero():
			return choice{serving: serving, open: true, ask: true}
		case a.isSilent() && now.Before(late):
			return choice{serving: serving, open: true, again: late}
		}
		silent = silent || a.isSilent()
	}
	switch {
	case best != nobody:
	case len(answers[0].records) > 0:
		best = 0 // too few are better than none
	case silent && serving == nobody:
		return choice{serving: nobody, open: true} // there is nothing better to do than to wait
	}
	if back := holdEnd(answers, serving, best, hold, now); !back.IsZero() {
		return choice{serving: serving, again: back}
	}
	return choice{serving: best}
}

// holdEnd returns until when a service stays where it is; zero if it doesn't.
func holdEnd(answers []answer, serving, best int, hold time.Duration, now time.Time) time.Time {
	if serving == nobody || best == nobody || best >= serving || answers[serving].eligible.IsZero() {
		return time.Time{}
	}
	a := &answers[best]
	if a.lost == nil || a.isHealed(now) {
		return time.Time{}
	}
	if end := a.eligible.Add(hold); now.Before(end) {
		return end
	}
	return time.Time{}
}
