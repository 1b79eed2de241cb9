package iostreams

import (
	"fmt"
	"io"
	"time"
)

// Progress shows how far a work is that takes long, on a terminal only.
type Progress struct {
	to    io.Writer // nil if that is no terminal
	what  string
	began time.Time
	last  time.Time
}

const (
	progressAfter = 500 * time.Millisecond // is long
	progressEvery = 100 * time.Millisecond
)

// Progress returns one that is written to standard error.
func (s *Streams) Progress(what string) *Progress {
	p := &Progress{what: what, began: time.Now()}
	if s.ErrIsTerminal {
		p.to = s.Err
	}
	return p
}

// Update shows how many are done, unless that was shown a moment ago.
func (p *Progress) Update(done, all int) {
	now := time.Now()
	if p.to == nil || now.Sub(p.began) < progressAfter || now.Sub(p.last) < progressEvery {
		return
	}
	p.last = now
	fmt.Fprintf(p.to, "\r\x1b[K%s: %d of %d", p.what, done, all)
}

// End removes what was shown. It may be called on nil.
func (p *Progress) End() {
	if p != nil && !p.last.IsZero() {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}
