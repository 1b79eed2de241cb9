package page

import "time"

const (
	historyStep = 5 * time.Second
	historySpan = 10 * time.Minute
)

// point is one step of a history: when it began in Unix seconds, the number of nodes at its end, and the lowest number
// within it.
type point [3]int64

// history is a number of nodes over time, ascending. It holds only steps in which the number changed: until the next
// point it stayed what it was. The first point may be older than historySpan, because it is what the plot begins with.
type history []point

func (h *history) note(now time.Time, nodes int) {
	step := int64(historyStep / time.Second)
	at, count := now.Unix()/step*step, int64(nodes)
	if last := len(*h) - 1; last >= 0 && (*h)[last][0] >= at {
		p := &(*h)[last]
		p[1], p[2] = count, min(p[2], count)
		return
	}
	*h = append(*h, point{at, count, count})
	h.trim(now)
}

// begin is note for what was there before anybody looked: it didn't come step by step.
func (h *history) begin(now time.Time, nodes int) {
	h.note(now, nodes)
	(*h)[len(*h)-1][2] = int64(nodes)
}

// trim drops what the plot doesn't show any more.
func (h *history) trim(now time.Time) {
	oldest, keep := now.Add(-historySpan).Unix(), 0
	for keep+1 < len(*h) && (*h)[keep+1][0] <= oldest {
		keep++
	}
	if keep > 0 {
		*h = append((*h)[:0], (*h)[keep:]...)
	}
}

// latest is what changed since the points that were sent before.
func (h history) latest() history {
	if len(h) == 0 {
		return nil
	}
	return h[len(h)-1:]
}
