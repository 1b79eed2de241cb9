package registrytest

import (
	"errors"
	"sync"
	"time"

	"go-micro.dev/v4/registry"
)

// lasting is a time to live that no case outlives.
const lasting = 2 * time.Minute

// process is one Registry value under test. Its methods in small letters fail
// the case where the Registry's own return an error.
type process struct {
	registry.Registry
	env    *env
	ending sync.Once
}

// close ends the process in order, once.
func (p *process) close() {
	p.ending.Do(func() {
		p.env.at("Close")
		if err := p.env.backend.Close(p.Registry); err != nil {
			p.env.failf("Close: %v", err)
		}
	})
}

// kill ends the process as a crash does.
func (p *process) kill() {
	p.env.at("Kill")
	if err := p.env.backend.Kill(p.Registry); err != nil {
		p.env.fatalf("Backend.Kill: %v", err)
	}
}

// cut takes the store away until the returned function is called.
func (p *process) cut() (restore func()) {
	p.env.at("Cut")
	restore, err := p.env.backend.Cut(p.Registry)
	if err != nil {
		p.env.fatalf("Backend.Cut: %v", err)
	}
	p.env.onEnd(restore)
	return restore
}

// register registers s, for good unless ttl says otherwise.
func (p *process) register(s *registry.Service, ttl ...time.Duration) {
	p.env.at("Register of %s", text(s))
	d := lasting
	if len(ttl) > 0 {
		d = ttl[0]
	}
	if err := p.Register(s, registry.RegisterTTL(d)); err != nil {
		p.env.fatalf("Register of\n%sreturned: %v", text(s), err)
	}
}

// deregister withdraws s, telling only what Go Micro's server tells.
func (p *process) deregister(s *registry.Service) {
	p.env.at("Deregister of %s", text(s))
	if err := p.Deregister(bare(s)); err != nil {
		p.env.fatalf("Deregister of\n%sreturned: %v", text(bare(s)), err)
	}
}

// find looks name up; nothing found is an empty list.
func (p *process) find(name string) []*registry.Service {
	p.env.at("GetService(%q)", name)
	found, err := p.GetService(name)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		p.env.fatalf("GetService(%q): %v", name, err)
	}
	if err != nil {
		return nil
	}
	return found
}

// list lists the services of this case.
func (p *process) list() []*registry.Service {
	p.env.at("ListServices")
	all, err := p.ListServices()
	if err != nil {
		p.env.fatalf("ListServices: %v", err)
	}
	var ours []*registry.Service
	for _, s := range all {
		if s == nil || p.env.mine(s.Name) {
			ours = append(ours, s)
		}
	}
	return ours
}

// finds demands that name is exactly want, now.
func (p *process) finds(name string, want ...*registry.Service) {
	if wrong := p.wrong(name, want...); wrong != "" {
		p.env.fatalf("GetService(%q): %s", name, wrong)
	}
}

// willFind demands that name becomes exactly want.
func (p *process) willFind(name string, want ...*registry.Service) {
	p.env.eventually("GetService("+name+")", func() string { return p.wrong(name, want...) })
}

// wrong says how what is found under name differs from want.
func (p *process) wrong(name string, want ...*registry.Service) string {
	return differs(p.find(name), want)
}

// watch opens a watcher and reads from it.
func (p *process) watch(opts ...registry.WatchOption) *stream {
	s := p.watchUnread(opts...)
	s.read()
	return s
}

// watchUnread opens a watcher that nobody reads from yet.
func (p *process) watchUnread(opts ...registry.WatchOption) *stream {
	p.env.at("Watch")
	w, err := p.Watch(opts...)
	if err != nil {
		p.env.fatalf("Watch: %v", err)
	}
	if w == nil {
		p.env.fatalf("Watch returned neither a watcher nor an error")
	}
	s := newStream(p.env, w)
	p.env.onEnd(w.Stop)
	return s
}

// follow looks name up, watches it, and folds the one over the other.
func (p *process) follow(name string) *stream {
	base := p.find(name)
	s := p.watchUnread(registry.WatchService(name))
	s.view.reset(base)
	s.read()
	return s
}
