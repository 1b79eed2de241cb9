package process

import (
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/chaos/history"
)

// recorder tells of every call, also of those that go-micro makes.
type recorder struct {
	*etcd.Registry
	output  *output
	timeout time.Duration // that the registry has been given
}

func (r *recorder) call(e history.Event, f func() error) error {
	e.At, e.Kind, e.Bound = time.Now(), history.KindCall, r.timeout
	err := f()
	e.Took, e.Err = time.Since(e.At), message(err)
	r.output.emit(e)
	return err
}

func (r *recorder) Register(s *registry.Service, opts ...registry.RegisterOption) error {
	var o registry.RegisterOptions
	for _, opt := range opts {
		opt(&o)
	}
	return r.call(history.Event{Op: "register", Service: s, TTL: o.TTL},
		func() error { return r.Registry.Register(s, opts...) })
}

func (r *recorder) Deregister(s *registry.Service, opts ...registry.DeregisterOption) error {
	return r.call(history.Event{Op: "deregister", Service: s},
		func() error { return r.Registry.Deregister(s, opts...) })
}

func (r *recorder) Init(opts ...registry.Option) error {
	return r.call(history.Event{Op: "init"}, func() error { return r.Registry.Init(opts...) })
}

func (r *recorder) Close() error { return r.call(history.Event{Op: "close"}, r.Registry.Close) }

// lookup tells of a lookup by itself.
func (r *recorder) lookup(name string) error {
	began := time.Now()
	services, err := r.GetService(name)
	r.output.emit(history.Event{
		At: began, Took: time.Since(began), Kind: history.KindView, Name: name, Via: "call",
		Services: services, Err: message(err), Bound: r.timeout,
	})
	return err
}
