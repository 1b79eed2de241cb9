package harness

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

// Stream reads a watcher to its end and keeps what it got.
type Stream struct {
	registry.Watcher
	env *Env

	mu      sync.Mutex
	results []*registry.Result // copies, in order of arrival
	next    int                // the first result that no Await has passed
	view    record.View        // all results folded over a lookup
	err     error              // what ended the stream
	arrived chan struct{}      // closed and replaced at every arrival
}

func newStream(e *Env, w registry.Watcher) *Stream {
	return &Stream{Watcher: w, env: e, view: record.View{}, arrived: make(chan struct{})}
}

// FoldOver makes base what the results are folded over.
func (s *Stream) FoldOver(base []*registry.Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view.Reset(base)
}

// Read starts reading.
func (s *Stream) Read() {
	s.env.spawn(func() {
		for {
			r, err := s.Next()
			if !s.take(r, err) {
				return
			}
		}
	})
}

// ReadOne reads a single result of a watcher that Read is not reading from.
func (s *Stream) ReadOne() *registry.Result {
	var got *registry.Result
	s.env.Within(s.env.Backend.Patience, "Next", func() {
		r, err := s.Next()
		if err != nil || r == nil || r.Service == nil {
			s.env.Fatalf("Next returned %v and the error %v", r, err)
		}
		got = r
	})
	if got == nil {
		runtime.Goexit()
	}
	return got
}

// take files one answer of Next and tells whether more may come.
func (s *Stream) take(r *registry.Result, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		s.err = err
	case r == nil || r.Service == nil:
		s.err = fmt.Errorf("neither a result with a service nor an error from Next: %v", r)
		s.env.Failf("%v", s.err)
	default:
		kept := &registry.Result{Action: r.Action, Service: record.Clone(r.Service)}
		s.results = append(s.results, kept)
		s.view.Apply(kept)
	}
	close(s.arrived)
	s.arrived = make(chan struct{})
	return s.err == nil
}

// scan passes results until one matches, and returns it.
func (s *Stream) scan(match func(*registry.Result) bool) (r *registry.Result, more <-chan struct{}, err error) {
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

// Await returns the next result that matches.
func (s *Stream) Await(what string, match func(*registry.Result) bool) *registry.Result {
	s.env.Step("Next, for %s", what)
	timer := time.NewTimer(s.env.Backend.Patience)
	defer timer.Stop()
	for {
		r, more, err := s.scan(match)
		if r != nil {
			return r
		}
		if err != nil {
			s.env.Fatalf("waiting for %s: Next returned: %v\n%s", what, err, s.Log())
		}
		select {
		case <-more:
		case <-timer.C:
			s.env.Fatalf("waiting for %s: not within %v\n%s", what, s.env.Backend.Patience, s.Log())
		}
	}
}

// AwaitNode returns the next result with that node, version and action.
func (s *Stream) AwaitNode(action string, want *registry.Service, id string) *registry.Result {
	what := fmt.Sprintf("%s of %s %s node %s", action, want.Name, want.Version, id)
	return s.Await(what, func(r *registry.Result) bool {
		return r.Service.Name == want.Name && r.Service.Version == want.Version &&
			SameAction(action, r.Action) && record.HasNode(r.Service, id)
	})
}

// AwaitEnd waits until Next returns an error, and returns it.
func (s *Stream) AwaitEnd(what string) error {
	s.env.Step("Next, for the end after %s", what)
	timer := time.NewTimer(s.env.Backend.Patience)
	defer timer.Stop()
	for {
		_, more, err := s.scan(func(*registry.Result) bool { return false })
		if err != nil {
			return err
		}
		select {
		case <-more:
		case <-timer.C:
			s.env.Fatalf("after %s: Next does not return within %v", what, s.env.Backend.Patience)
		}
	}
}

// Results returns all results so far.
func (s *Stream) Results() []*registry.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.results)
}

// Nodes counts the nodes that results with that action named.
func (s *Stream) Nodes(action string) map[string]int {
	seen := map[string]int{}
	for _, r := range s.Results() {
		if !SameAction(action, r.Action) {
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

// Differs says how the folded results differ from want.
func (s *Stream) Differs(want []*registry.Service) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if wrong := record.Differs(s.view.Services(), want); wrong != "" {
		return fmt.Sprintf("after %d results, %s", len(s.results), wrong)
	}
	return ""
}

// Log prints the last results for a failure.
func (s *Stream) Log() string {
	const most = 10
	results := s.Results()
	var b strings.Builder
	fmt.Fprintf(&b, "%d results so far", len(results))
	for _, r := range results[max(0, len(results)-most):] {
		fmt.Fprintf(&b, "\n%s %s", r.Action, record.Text(r.Service))
	}
	return b.String()
}

// Present is the action of a node that is there, whether new or changed.
const Present = "create or update"

// SameAction tells whether a result has the wanted action, which may be Present.
func SameAction(want, got string) bool {
	if want == Present {
		return got == "create" || got == "update"
	}
	return want == got
}
