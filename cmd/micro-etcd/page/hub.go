package page

import (
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	maxBrowsers = 64
	maxFrames   = 32 // that wait for one browser
	deltaTime   = 250 * time.Millisecond
)

var errFull = errors.New("too many browsers look at this page")

// frame is an encoded server-sent event, shared by all browsers. An empty one tells a browser's sender that frames were
// dropped, so that it needs a snapshot.
type frame []byte

// hub tells every browser what changes. Its methods may be called from several goroutines.
type hub struct {
	view *view
	name string              // of the data center, or ""
	all  func() []datacenter // how all of them are

	mu       sync.Mutex // held from reading the view until all browsers have what was read, so that none goes back in time
	browsers map[*browser]struct{}
	health   health
	told     []datacenter // the last that browsers were told
}

// browser is what one has still to be sent.
type browser struct {
	frames chan frame
	behind bool // frames were dropped; guarded by hub.mu
}

func newHub(v *view) *hub {
	return &hub{
		view: v, all: pages(nil).states, browsers: make(map[*browser]struct{}), health: health{Members: []member{}},
	}
}

// join adds a browser, which begins with a snapshot.
func (h *hub) join() (*browser, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.browsers) >= maxBrowsers {
		return nil, errFull
	}
	b := &browser{frames: make(chan frame, maxFrames), behind: true}
	b.frames <- nil
	h.browsers[b] = struct{}{}
	return b, nil
}

func (h *hub) leave(b *browser) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.browsers, b)
}

func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.browsers)
}

// snapshot catches a browser up: it replaces all that waited.
func (h *hub) snapshot(b *browser) (frame, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b.drop()
	b.behind = false
	snap := h.view.snapshot()
	snap.Health = h.linked(h.health)
	snap.Datacenter, snap.Datacenters = h.name, h.all()
	return encode("snapshot", snap)
}

// publish sends what changed, and health if it isn't nil.
func (h *hub) publish(checked *health) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	d, changed := h.view.take()
	if checked != nil {
		h.health = *checked
	}
	if now := h.linked(h.health); checked != nil || now.Connected != h.health.Connected {
		h.health.Connected = now.Connected
		d.Health, changed = &now, true
	}
	if all := h.all(); !slices.Equal(all, h.told) {
		h.told = all
		d.Datacenters, changed = all, true
	}
	if !changed {
		return nil
	}
	f, err := encode("delta", d)
	if err != nil {
		return err
	}
	for b := range h.browsers {
		b.offer(f)
	}
	return nil
}

// linked adds what the view knows of the connection.
func (h *hub) linked(to health) health {
	l := h.view.connection()
	to.Read, to.Connected, to.Since, to.Heard = l.read, l.connected, milliseconds(l.since), milliseconds(l.heard)
	// The link has one error for all the time that it is broken; an etcd that was lost may be back and refuse, or the
	// other way about, or answer by now.
	if !l.connected && l.err != "" && to.Refused == l.refused {
		to.Error, to.Refused = l.err, l.refused
	}
	return to
}

// offer never waits.
func (b *browser) offer(f frame) {
	if b.behind {
		return
	}
	select {
	case b.frames <- f:
	default:
		b.drop()
		b.behind = true
		b.frames <- nil // there is room: only a hub adds, under its lock
	}
}

func (b *browser) drop() {
	for {
		select {
		case <-b.frames:
		default:
			return
		}
	}
}

// encode makes a server-sent event. JSON has no line breaks, so that the data is one line.
func encode(kind string, message any) (frame, error) {
	data, err := json.Marshal(message)
	if err != nil {
		return nil, err
	}
	f := make(frame, 0, len(data)+len(kind)+len("event: \ndata: \n\n"))
	f = append(f, "event: "+kind+"\ndata: "...)
	f = append(f, data...)
	return append(f, "\n\n"...), nil
}
