package registrytest

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"go-micro.dev/v4/registry"
)

// stream reads a watcher to its end and keeps what it got.
type stream struct {
	env *env
	w   registry.Watcher

	mu      sync.Mutex
	results []*registry.Result // copies, in order of arrival
	next    int                // the first result that no await has passed
	view    view               // all results folded over a lookup
	err     error              // what ended the stream
	arrived chan struct{}      // closed and replaced at every arrival
}

func newStream(e *env, w registry.Watcher) *stream {
	return &stream{env: e, w: w, view: view{}, arrived: make(chan struct{})}
}

// read starts reading.
func (s *stream) read() {
	s.env.spawn(func() {
		for {
			r, err := s.w.Next()
			if !s.take(r, err) {
				return
			}
		}
	})
}

// one reads a single result of a watcher that read is not reading from.
func (s *stream) one() *registry.Result {
	var got *registry.Result
	s.env.within(s.env.backend.Patience, "Next", func() {
		r, err := s.w.Next()
		if err != nil || r == nil || r.Service == nil {
			s.env.fatalf("Next returned %v and the error %v", r, err)
		}
		got = r
	})
	if got == nil {
		runtime.Goexit()
	}
	return got
}

// take files one answer of Next and tells whether more may come.
func (s *stream) take(r *registry.Result, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		s.err = err
	case r == nil || r.Service == nil:
		s.err = fmt.Errorf("Next returned neither a result with a service nor an error: %v", r)
		s.env.failf("%v", s.err)
	default:
		kept := &registry.Result{Action: r.Action, Service: clone(r.Service)}
		s.results = append(s.results, kept)
		s.view.apply(kept)
	}
	close(s.arrived)
	s.arrived = make(chan struct{})
	return s.err == nil
}

// scan passes results until one matches, and returns it.
func (s *stream) scan(match func(*registry.Result) bool) (r *registry.Result, more <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.next < len(s.results) {
		r := s.results[s.next]
		s.next++
		if match(r) {
			return r, nil, nil
		}
	}
	return nil, s.arrived, s.err
}

// await returns the next result that matches.
func (s *stream) await(what string, match func(*registry.Result) bool) *registry.Result {
	s.env.at("Next, for %s", what)
	timer := time.NewTimer(s.env.backend.Patience)
	defer timer.Stop()
	for {
		r, more, err := s.scan(match)
		if r != nil {
			return r
		}
		if err != nil {
			s.env.fatalf("waiting for %s: Next returned: %v\n%s", what, err, s.log())
		}
		select {
		case <-more:
		case <-timer.C:
			s.env.fatalf("waiting for %s: not within %v\n%s", what, s.env.backend.Patience, s.log())
		}
	}
}

// awaitNode returns the next result with that node, version and action.
func (s *stream) awaitNode(action string, want *registry.Service, id string) *registry.Result {
	what := fmt.Sprintf("%s of %s %s node %s", action, want.Name, want.Version, id)
	return s.await(what, func(r *registry.Result) bool {
		return r.Service.Name == want.Name && r.Service.Version == want.Version &&
			sameAction(action, r.Action) && hasNode(r.Service, id)
	})
}

// awaitEnd waits until Next returns an error, and returns it.
func (s *stream) awaitEnd(what string) error {
	s.env.at("Next, for the end after %s", what)
	timer := time.NewTimer(s.env.backend.Patience)
	defer timer.Stop()
	for {
		_, more, err := s.scan(func(*registry.Result) bool { return false })
		if err != nil {
			return err
		}
		select {
		case <-more:
		case <-timer.C:
			s.env.fatalf("after %s: Next does not return within %v", what, s.env.backend.Patience)
		}
	}
}

// got returns all results so far.
func (s *stream) got() []*registry.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*registry.Result(nil), s.results...)
}

// nodes counts the nodes that results with that action named.
func (s *stream) nodes(action string) map[string]int {
	seen := map[string]int{}
	for _, r := range s.got() {
		if !sameAction(action, r.Action) {
			continue
		}
		for _, n := range r.Service.Nodes {
			if n != nil {
				seen[n.Id]++
			}
		}
	}
	return seen
}

// folded says how the folded results differ from want.
func (s *stream) folded(want []*registry.Service) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if wrong := differs(s.view.services(), want); wrong != "" {
		return fmt.Sprintf("after %d results, %s", len(s.results), wrong)
	}
	return ""
}

// log prints the last results for a failure.
func (s *stream) log() string {
	const most = 10
	results := s.got()
	var b strings.Builder
	fmt.Fprintf(&b, "%d results so far", len(results))
	for _, r := range results[max(0, len(results)-most):] {
		fmt.Fprintf(&b, "\n%s %s", r.Action, text(r.Service))
	}
	return b.String()
}

// present is the action of a node that is there, whether new or changed.
const present = "create or update"

func sameAction(want, got string) bool {
	if want == present {
		return got == "create" || got == "update"
	}
	return want == got
}
