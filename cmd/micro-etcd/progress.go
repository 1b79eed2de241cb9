package main

import (
	"fmt"
	"time"
)

// progress shows how far a work is that takes long, on a terminal only.
type progress struct {
	app   *app
	what  string
	began time.Time
	last  time.Time
}

const (
	progressAfter = 500 * time.Millisecond // is long
	progressEvery = 100 * time.Millisecond
)

func (a *app) progress(what string) *progress {
	return &progress{app: a, what: what, began: time.Now()}
}

func (p *progress) tell(done, all int) {
	now := time.Now()
	if !p.app.streams.progress || now.Sub(p.began) < progressAfter || now.Sub(p.last) < progressEvery {
		return
	}
	p.last = now
	fmt.Fprintf(p.app.err, "\r\x1b[K%s: %d of %d", p.what, done, all)
}

// end removes what was shown. There may be no progress.
func (p *progress) end() {
	if p != nil && !p.last.IsZero() {
		fmt.Fprint(p.app.err, "\r\x1b[K")
	}
}
