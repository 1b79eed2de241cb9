package rounds

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/chaos/cluster"
	"github.com/micro-etcd/micro-etcd/test/chaos/tail"
)

// The kinds of calls that a provider makes during a fault.
const (
	callRegister   = "Register"
	callDeregister = "Deregister"
	callLookup     = "first lookup"
	callClose      = "Close"
)

var callKinds = []string{callRegister, callDeregister, callLookup, callClose}

// callBound is how long a call may take, from when etcd takes a write. CHAOS_SLACK adds to it for a machine that has
// more to do.
var callBound = 2*time.Second + slack()

func slack() time.Duration {
	d, _ := time.ParseDuration(os.Getenv("CHAOS_SLACK"))
	return d
}

// outcome is what came of one call.
type outcome struct {
	kind       string
	ttl        time.Duration
	at         time.Duration // after the fault
	took       time.Duration
	writeDelay time.Duration // until etcd took a write
	err        error
}

func (o *outcome) late() bool { return o.took > callBound+o.writeDelay }

// provider stands for one process in a round: a registry with records that may not be missing, which is called during
// the fault, and a second one to be closed then.
type provider struct {
	plan          providerPlan
	name          string
	prefix        string
	cluster       *RelayedCluster
	first, second *etcd.Registry
	log           tail.Buffer
}

const (
	recordsEach     = 12
	registryTimeout = 5 * time.Second
)

func openProvider(c *RelayedCluster, plan providerPlan, prefix, name string) (*provider, error) {
	p := &provider{plan: plan, name: name, prefix: prefix, cluster: c}
	var err error
	if p.first, err = p.open(); err != nil {
		return nil, err
	}
	if p.second, err = p.open(); err != nil {
		return nil, errors.Join(err, p.first.Close())
	}
	if err := p.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("%w\n%s", err, p.log.String()), p.close())
	}
	return p, nil
}

func (p *provider) open() (*etcd.Registry, error) {
	return etcd.New(registry.Addrs(p.cluster.endpoints()...), registry.Timeout(registryTimeout), etcd.Prefix(p.prefix),
		registry.Logger(logWriter{logger.NewLogger(), &p.log}))
}

// logWriter writes what is logged; go-micro's own logger only prints.
type logWriter struct {
	logger.Logger
	to io.Writer
}

func (s logWriter) Log(_ logger.Level, args ...any) {
	fmt.Fprintf(s.to, "%s %s\n", time.Now().Format("15:04:05.000"), fmt.Sprint(args...))
}

func (s logWriter) Logf(level logger.Level, format string, args ...any) {
	s.Log(level, fmt.Sprintf(format, args...))
}

func (p *provider) service(name string, n int) *registry.Service {
	s := &registry.Service{Name: p.name + "-" + name, Version: "1"}
	for i := range n {
		s.Nodes = append(s.Nodes, &registry.Node{Id: fmt.Sprintf("n%d", i), Address: fmt.Sprintf("10.0.0.%d:80", i+1)})
	}
	return s
}

func (p *provider) kept() *registry.Service { return p.service("kept", recordsEach) }

func (p *provider) leaving(burst int) *registry.Service {
	return p.service(fmt.Sprint("leaving-", burst), 1)
}

func (p *provider) coming(burst int) *registry.Service {
	return p.service(fmt.Sprint("coming-", burst), 1)
}

func (p *provider) closed() *registry.Service { return p.service("closed", 2) }

// keys are those that may not be missing.
func (p *provider) keys() []string {
	var keys []string
	s := p.kept()
	for _, n := range s.Nodes {
		keys = append(keys, s.Name+"/"+n.Id)
	}
	return keys
}

// prepareTries are how often a busy machine may keep etcd from answering before the round.
const prepareTries = 5

func (p *provider) prepare() error {
	first := []*registry.Service{p.kept()}
	for burst := range p.plan.bursts {
		first = append(first, p.leaving(burst))
	}
	var err error
	for range prepareTries {
		err = p.register(p.second, p.closed())
		for _, s := range first {
			err = errors.Join(err, p.register(p.first, s))
		}
		if err == nil {
			break
		}
	}
	return err
}

func (p *provider) register(r *etcd.Registry, s *registry.Service) error {
	return r.Register(s, registry.RegisterTTL(p.plan.ttl))
}

func (p *provider) close() error { return errors.Join(p.first.Close(), p.second.Close()) }

// call makes the calls of all bursts, and returns what came of them. Names are services that nobody has looked up yet,
// one for each burst.
func (p *provider) call(ctx context.Context, names []string, others []*cluster.Member) []outcome {
	var all sync.WaitGroup
	var mu sync.Mutex
	var outcomes []outcome
	began := time.Now()
	for burst, after := range p.plan.bursts {
		calls := map[string]func() error{
			callRegister:   func() error { return p.register(p.first, p.coming(burst)) },
			callDeregister: func() error { return p.first.Deregister(p.leaving(burst)) },
			callLookup:     func() error { return p.find(names[burst]) },
		}
		if burst == p.plan.closes {
			calls[callClose] = p.second.Close
		}
		for kind, do := range calls {
			all.Go(func() {
				select {
				case <-time.After(after - time.Since(began)):
				case <-ctx.Done():
					return
				}
				o := p.measure(ctx, kind, others, do)
				if o.err == nil {
					o.err = p.verify(ctx, kind, burst, others[0])
				}
				o.at = after
				mu.Lock()
				defer mu.Unlock()
				outcomes = append(outcomes, o)
			})
		}
	}
	all.Wait()
	return outcomes
}

func (p *provider) find(name string) error {
	found, err := p.first.GetService(name)
	if err == nil && (len(found) != 1 || len(found[0].Nodes) != 1) {
		err = fmt.Errorf("found %d services", len(found))
	}
	return err
}

func (p *provider) measure(ctx context.Context, kind string, others []*cluster.Member, do func() error) outcome {
	o := outcome{kind: kind, ttl: p.plan.ttl}
	var writing sync.WaitGroup
	var unable error
	writing.Go(func() { o.writeDelay, unable = p.cluster.writeDelay(ctx, others...) })
	began := time.Now()
	o.err = do()
	o.took = time.Since(began)
	writing.Wait()
	o.err = errors.Join(o.err, unable)
	return o
}

// verify asks a member that nothing happens to whether a call has done what it said.
func (p *provider) verify(ctx context.Context, kind string, burst int, m *cluster.Member) error {
	expect := func(s *registry.Service, n int64) error {
		got, err := p.cluster.count(ctx, m, p.prefix+s.Name+"/")
		if err == nil && got != n {
			err = fmt.Errorf("%s returned nil, and etcd has %d records of %s", kind, got, s.Name)
		}
		return err
	}
	switch kind {
	case callRegister:
		return expect(p.coming(burst), 1)
	case callDeregister:
		return expect(p.leaving(burst), 0)
	case callClose:
		return expect(p.closed(), 0)
	}
	return nil
}
