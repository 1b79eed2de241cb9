package cases

import (
	"context"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/record"
)

// refProcess is a correct registry that makes every promise, in memory.
type refProcess struct {
	store  *refStore
	closed chan struct{}

	options registry.Options
	desired map[refKey]*refRecord
	ever    map[refKey]bool
	seen    map[string][]*registry.Service // first lookup of each name
	since   time.Time                      // killed or cut at
	frozen  map[string][]*registry.Service // what was seen when the store went away; nil if it did not
	dead    bool
}

func openRef(s *refStore, opts ...registry.Option) *refProcess {
	return &refProcess{
		store:   s,
		closed:  make(chan struct{}),
		options: *registry.NewOptions(opts...),
		desired: map[refKey]*refRecord{},
		ever:    map[refKey]bool{},
		seen:    map[string][]*registry.Service{},
	}
}

func (p *refProcess) process() *refProcess { return p }

func (p *refProcess) String() string { return "reference" }

func (p *refProcess) Options() registry.Options {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	return p.options
}

func (p *refProcess) Init(opts ...registry.Option) error {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	for _, o := range opts {
		o(&p.options)
	}
	return nil
}

func (p *refProcess) err(ctx context.Context) error {
	select {
	case <-p.closed:
		return errRefClosed
	default:
	}
	if ctx != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if p.frozen != nil {
		return errRefAway
	}
	return nil
}

func (p *refProcess) Register(s *registry.Service, opts ...registry.RegisterOption) error {
	var o registry.RegisterOptions
	for _, opt := range opts {
		opt(&o)
	}
	if s == nil || s.Name == "" || len(s.Nodes) == 0 {
		return errRefBad
	}
	for _, n := range s.Nodes {
		if n == nil || n.Id == "" {
			return errRefBad
		}
	}
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	err := p.err(o.Context)
	if err != nil && err != errRefAway { //nolint:errorlint // our own, unwrapped
		return err
	}
	for _, n := range s.Nodes {
		p.want(refKey{s.Name, n.Id}, &refRecord{service: record.Only(s, n.Id), owner: p, ttl: o.TTL}, err == nil)
	}
	return err
}

// want makes r the desired record, and puts it where that changes something.
func (p *refProcess) want(k refKey, r *refRecord, put bool) {
	before := p.desired[k]
	unchanged := before != nil && before.ttl == r.ttl && record.Text(before.service) == record.Text(r.service)
	p.desired[k] = r
	p.ever[k] = true
	there := p.store.records[k]
	if there != nil && p.store.flaws.adopts {
		return
	}
	if put && (!unchanged || there == nil || p.store.flaws.alwaysPuts) {
		p.store.put(k, r)
	}
}

func (p *refProcess) Deregister(s *registry.Service, opts ...registry.DeregisterOption) error {
	var o registry.DeregisterOptions
	for _, opt := range opts {
		opt(&o)
	}
	if s == nil || len(s.Nodes) == 0 {
		return errRefBad
	}
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	err := p.err(o.Context)
	for _, n := range s.Nodes {
		k := refKey{s.Name, n.Id}
		delete(p.desired, k)
		there := p.store.records[k]
		if err == nil && there != nil && (there.owner == p || !p.ever[k]) {
			p.store.remove(k)
		}
	}
	return err
}

func (p *refProcess) GetService(name string, opts ...registry.GetOption) ([]*registry.Service, error) {
	var o registry.GetOptions
	for _, opt := range opts {
		opt(&o)
	}
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	err := p.err(o.Context)
	var found []*registry.Service
	switch last := p.frozen[name]; {
	case err == errRefAway && last != nil: //nolint:errorlint // our own, unwrapped
		found = last
	case err != nil:
		return nil, err
	case name != "":
		found = p.store.services(name)
	}
	if name != "" && p.seen[name] == nil {
		p.seen[name] = copyOf(found)
	}
	if len(found) == 0 {
		return nil, registry.ErrNotFound
	}
	return copyOf(found), nil
}

func (p *refProcess) ListServices(opts ...registry.ListOption) ([]*registry.Service, error) {
	var o registry.ListOptions
	for _, opt := range opts {
		opt(&o)
	}
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	if err := p.err(o.Context); err != nil {
		return nil, err
	}
	return p.store.services(""), nil
}

func copyOf(services []*registry.Service) []*registry.Service {
	c := make([]*registry.Service, len(services))
	for i, s := range services {
		c[i] = record.Clone(s)
	}
	return c
}

// heal puts back what is missing, and removes what is not desired.
func (p *refProcess) heal() {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	if p.store.flaws.neverHeals || p.dead || p.err(nil) != nil { //nolint:staticcheck // no context
		return
	}
	for k, r := range p.store.records {
		if r.owner == p && p.desired[k] == nil {
			p.store.remove(k)
		}
	}
	for k, r := range p.desired {
		if p.store.records[k] == nil {
			p.store.put(k, r)
		}
	}
}

func (p *refProcess) kill() {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	p.dead, p.since = true, time.Now()
	for _, r := range p.store.records {
		if r.owner == p && r.ttl > 0 {
			time.AfterFunc(r.ttl+time.Millisecond, p.store.expire)
		}
	}
}

func (p *refProcess) cut() (restore func()) {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	p.frozen = map[string][]*registry.Service{}
	for name := range p.seen {
		p.frozen[name] = p.store.services(name)
	}
	p.store.touch()
	return func() {
		p.store.mu.Lock()
		p.frozen = nil
		p.store.touch()
		p.store.mu.Unlock()
		p.heal()
	}
}

func (p *refProcess) away() bool {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	return p.frozen != nil
}

func (p *refProcess) Close() error {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	if p.err(nil) == errRefClosed { //nolint:errorlint,staticcheck // our own, unwrapped; no context
		return nil
	}
	close(p.closed)
	for k, r := range p.store.records {
		if r.owner == p && !p.dead {
			p.store.remove(k)
		}
	}
	return nil
}
