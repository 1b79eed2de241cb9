package page

import (
	"context"
	"net/http"
	"time"
)

// sendTime is how long a browser may take to accept one message, or an answer, before it is cut off.
const sendTime = 15 * time.Second

// stream sends what changes until the browser goes.
func (p *page) stream(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		return
	}
	b, err := p.hub.join()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer p.hub.leave(b)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	p.send(r.Context(), w, b)
}

func (p *page) send(ctx context.Context, w http.ResponseWriter, b *browser) {
	out := http.NewResponseController(w)
	for {
		var f frame
		select {
		case f = <-b.frames:
		case <-ctx.Done():
			return
		}
		if f == nil {
			var err error
			if f, err = p.hub.snapshot(b); err != nil {
				return
			}
		}
		if out.SetWriteDeadline(time.Now().Add(sendTime)) != nil {
			return
		}
		if _, err := w.Write(f); err != nil {
			return
		}
		if out.Flush() != nil {
			return
		}
	}
}
