package chaos

import (
	"errors"
	"slices"
	"time"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/registry/cache"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// recorder tells of every call, also of those that go-micro makes.
type recorder struct {
	*etcd.Registry
	service *service
}

func (r *recorder) call(e event, f func() error) error {
	e.At, e.Kind, e.Bound = time.Now(), kindCall, r.service.setup.Timeout
	err := f()
	e.Took, e.Err = time.Since(e.At), message(err)
	r.service.emit(e)
	return err
}

func (r *recorder) Register(s *registry.Service, opts ...registry.RegisterOption) error {
	var o registry.RegisterOptions
	for _, opt := range opts {
		opt(&o)
	}
	return r.call(event{Op: "register", Service: s, TTL: o.TTL}, func() error { return r.Registry.Register(s, opts...) })
}

func (r *recorder) Deregister(s *registry.Service, opts ...registry.DeregisterOption) error {
	return r.call(event{Op: "deregister", Service: s}, func() error { return r.Registry.Deregister(s, opts...) })
}

func (r *recorder) Init(opts ...registry.Option) error {
	return r.call(event{Op: "init"}, func() error { return r.Registry.Init(opts...) })
}

func (r *recorder) Close() error { return r.call(event{Op: "close"}, r.Registry.Close) }

// follower watches one service and looks it up all the time, itself and through go-micro's cache.
type follower struct {
	service *service
	name    string
	watcher registry.Watcher
}

// follow begins to follow a service, until Close.
func (s *service) follow(name string) {
	c := cache.New(s.registry.Registry)
	f := &follower{service: s, name: name}
	s.mu.Lock()
	s.followers[name] = f
	s.caches = append(s.caches, c)
	s.mu.Unlock()
	s.running.Go(func() { s.poll(name, "registry", s.registry.GetService) })
	s.running.Go(func() { s.poll(name, "cache", c.GetService) })
	if err := s.watch(name); err != nil {
		s.emit(event{At: time.Now(), Kind: kindStopped, Name: name, Err: message(err)})
	}
}

type lookup = func(string, ...registry.GetOption) ([]*registry.Service, error)

// poll tells of lookups that say something new or take too long.
func (s *service) poll(name, via string, look lookup) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	told, last, before := false, "", time.Time{}
	for {
		began := time.Now()
		services, err := look(name)
		if s.ctx.Err() != nil {
			return
		}
		now := message(err)
		for _, one := range services {
			now += canonical(one)
		}
		took := time.Since(began)
		if !told || now != last || took > s.setup.Timeout {
			s.emit(event{
				At: began, Took: took, Kind: kindView, Name: name, Via: via,
				Services: services, Err: message(err), Bound: s.setup.Timeout, Before: before,
			})
			told, last = true, now
		}
		before = began
		select {
		case <-ticker.C:
		case <-s.ctx.Done():
			return
		}
	}
}

// watch looks a followed service up, begins to watch it, and ends the watcher before.
func (s *service) watch(name string) error {
	base, err := s.registry.GetService(name)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		base = nil
	}
	id := int(s.watchers.Add(1))
	s.emit(event{At: time.Now(), Kind: kindWatching, Watcher: id, Name: name, Services: slices.Clone(base)})
	var w registry.Watcher
	if err := s.registry.call(event{Op: "watch", Name: name}, func() (err error) {
		w, err = s.registry.Watch(registry.WatchService(name))
		return err
	}); err != nil {
		return err
	}
	s.mu.Lock()
	f := s.followers[name]
	before := f.watcher
	f.watcher = w
	s.mu.Unlock()
	if before != nil {
		before.Stop()
	}
	s.running.Go(func() {
		for {
			result, err := w.Next()
			if err != nil {
				s.emit(event{At: time.Now(), Kind: kindStopped, Watcher: id, Name: name, Err: message(err)})
				return
			}
			s.emit(event{At: time.Now(), Kind: kindSeen, Watcher: id, Name: name, Action: result.Action, Service: result.Service})
		}
	})
	return nil
}
