package harness

import (
	"errors"
	"sync"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

// LongTTL is a time to live that no case outlives.
const LongTTL = 2 * time.Minute

// Process is one Registry value under test. Its methods fail the case where the Registry's own return an error.
type Process struct {
	Registry registry.Registry
	env      *Env
	ending   sync.Once
}

// NewProcess makes a Registry value a process of the case.
func NewProcess(e *Env, r registry.Registry) *Process { return &Process{Registry: r, env: e} }

// Open starts a process on the store and ends it with the case.
func (e *Env) Open(opts ...registry.Option) *Process {
	e.Step("Open")
	r, err := e.Backend.Open(opts...)
	if err != nil {
		e.Fatalf("Open: %v", err)
	}
	p := NewProcess(e, r)
	e.Cleanup(p.Close)
	return p
}

// Observer is who looks on after p is killed: another process where there can be one, else p itself.
func (p *Process) Observer() *Process {
	if p.env.Backend.Alone {
		return p
	}
	return p.env.Open()
}

// Close ends the process in order, once.
func (p *Process) Close() {
	p.ending.Do(func() {
		p.env.Step("Close")
		if err := p.env.Backend.Close(p.Registry); err != nil {
			p.env.Failf("Close: %v", err)
		}
	})
}

// Kill ends the process as a crash does.
func (p *Process) Kill() {
	p.env.Step("Kill")
	if err := p.env.Backend.Kill(p.Registry); err != nil {
		p.env.Fatalf("Backend.Kill: %v", err)
	}
}

// Cut takes the store away until the returned function is called.
func (p *Process) Cut() (restore func()) {
	p.env.Step("Cut")
	restore, err := p.env.Backend.Cut(p.Registry)
	if err != nil {
		p.env.Fatalf("Backend.Cut: %v", err)
	}
	p.env.Cleanup(restore)
	return restore
}

// Drain takes a node of s out of service until the returned function is called.
func (e *Env) Drain(s *registry.Service, node string) (restore func()) {
	e.Step("Drain of %s node %s", s.Name, node)
	restoreNode, err := e.Backend.Drain(s.Name, node)
	if err != nil {
		e.Fatalf("Backend.Drain: %v", err)
	}
	return func() {
		e.Step("the end of the drain")
		if err := restoreNode(); err != nil {
			e.Fatalf("restore of Backend.Drain: %v", err)
		}
	}
}

// Register registers s, for good unless ttl says otherwise.
func (p *Process) Register(s *registry.Service, ttl ...time.Duration) {
	p.env.Step("Register of %s", record.Text(s))
	d := LongTTL
	if len(ttl) > 0 {
		d = ttl[0]
	}
	if err := p.Registry.Register(s, registry.RegisterTTL(d)); err != nil {
		p.env.Fatalf("Register of\n%sreturned: %v", record.Text(s), err)
	}
}

// Deregister withdraws s, telling only what Go Micro's server tells.
func (p *Process) Deregister(s *registry.Service) {
	p.env.Step("Deregister of %s", record.Text(s))
	if err := p.Registry.Deregister(record.Bare(s)); err != nil {
		p.env.Fatalf("Deregister of\n%sreturned: %v", record.Text(record.Bare(s)), err)
	}
}

// Find looks name up; nothing found is an empty list.
func (p *Process) Find(name string) []*registry.Service {
	p.env.Step("GetService(%q)", name)
	found, err := p.Registry.GetService(name)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		p.env.Fatalf("GetService(%q): %v", name, err)
	}
	if err != nil {
		return nil
	}
	return found
}

// List lists the services of this case.
func (p *Process) List() []*registry.Service {
	p.env.Step("ListServices")
	all, err := p.Registry.ListServices()
	if err != nil {
		p.env.Fatalf("ListServices: %v", err)
	}
	var ours []*registry.Service
	for _, s := range all {
		if s == nil || p.env.mine(s.Name) {
			ours = append(ours, s)
		}
	}
	return ours
}

// Lists demands that the services of this case are exactly want, now.
func (p *Process) Lists(want ...*registry.Service) {
	if wrong := record.Differs(p.List(), want); wrong != "" {
		p.env.Failf("ListServices: %s", wrong)
	}
}

// Finds demands that name is exactly want, now.
func (p *Process) Finds(name string, want ...*registry.Service) {
	if wrong := p.Differs(name, want...); wrong != "" {
		p.env.Fatalf("GetService(%q): %s", name, wrong)
	}
}

// WillFind demands that name becomes exactly want.
func (p *Process) WillFind(name string, want ...*registry.Service) {
	p.env.Eventually("GetService("+name+")", func() string { return p.Differs(name, want...) })
}

// Differs says how what is found under name differs from want.
func (p *Process) Differs(name string, want ...*registry.Service) string {
	return record.Differs(p.Find(name), want)
}

// Watch opens a watcher and reads from it.
func (p *Process) Watch(opts ...registry.WatchOption) *Stream {
	s := p.WatchUnread(opts...)
	s.Read()
	return s
}

// WatchUnread opens a watcher that nobody reads from yet.
func (p *Process) WatchUnread(opts ...registry.WatchOption) *Stream {
	p.env.Step("Watch")
	w, err := p.Registry.Watch(opts...)
	if err != nil {
		p.env.Fatalf("Watch: %v", err)
	}
	if w == nil {
		p.env.Fatalf("Watch returned neither a watcher nor an error")
	}
	s := newStream(p.env, w)
	p.env.Cleanup(w.Stop)
	return s
}

// Follow looks name up, watches it, and folds the one over the other. Between the two it calls what is given to it.
func (p *Process) Follow(name string, between ...func()) *Stream {
	base := p.Find(name)
	for _, f := range between {
		f()
	}
	s := p.WatchUnread(registry.WatchService(name))
	s.FoldOver(base)
	s.Read()
	return s
}
