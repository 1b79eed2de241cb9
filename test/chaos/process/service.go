package process

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go-micro.dev/v4"
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/server"
	"go.uber.org/goleak"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/registry/health"
	"github.com/micro-etcd/micro-etcd/test/chaos/history"
	"github.com/micro-etcd/micro-etcd/test/leak"
)

// service is a process that uses the registry as an application does, and tells what it does and sees.
type service struct {
	setup    Setup
	registry *recorder
	output   *output

	ctx     context.Context // ends when Close is asked for
	stop    context.CancelFunc
	running sync.WaitGroup
	sick    atomic.Bool

	mu        sync.Mutex
	followers map[string]*follower
	fleet     []*etcd.Registry
	micro     func() error // stops the running go-micro service
}

// Run serves commands from stdin until it ends or says close. It returns the exit code.
func Run(text string) int {
	known := leak.Known()
	s := &service{output: newOutput(os.Stdout), followers: map[string]*follower{}}
	os.Stdout = os.Stderr // go-micro's logger writes there
	s.ctx, s.stop = context.WithCancel(context.Background())
	if err := json.Unmarshal([]byte(text), &s.setup); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	r, err := etcd.New(s.options(s.setup.Password)...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	s.registry = s.record(r)
	commands := bufio.NewScanner(os.Stdin)
	commands.Buffer(nil, 1<<20)
	for commands.Scan() {
		var c Command
		if err := json.Unmarshal(commands.Bytes(), &c); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
		if c.Do == "close" {
			s.close(c, known)
			return 0
		}
		s.running.Go(func() { s.answer(c, s.do) })
	}
	return 3 // whoever started us is gone
}

func (s *service) options(password string) []registry.Option {
	opts := []registry.Option{
		registry.Addrs(s.setup.Endpoints...),
		registry.Timeout(s.setup.Timeout),
		registry.Logger(logger.NewLogger(logger.WithOutput(os.Stderr), logger.WithLevel(logger.InfoLevel))),
	}
	if s.setup.User != "" {
		opts = append(opts, etcd.Auth(s.setup.User, password))
	}
	if s.setup.CacheDir != "" {
		opts = append(opts, etcd.CacheDir(s.setup.CacheDir))
	}
	if s.setup.Checked {
		opts = append(opts, etcd.HealthCheck(s.check()))
	}
	return opts
}

// check is one that soon tells.
func (s *service) check() health.Check {
	c := health.Func("database", func(context.Context) error {
		if s.sick.Load() {
			return errors.New("away")
		}
		return nil
	})
	c.Interval, c.InitialDelay, c.FailureThreshold, c.SuccessThreshold = time.Second, time.Millisecond, 1, 1
	c.Timeout = c.Interval
	return c
}

func (s *service) answer(c Command, do func(Command) (string, error)) {
	began := time.Now()
	text, err := do(c)
	s.output.emit(history.Event{
		At: began, Took: time.Since(began), Kind: history.KindDone, ID: c.ID, Op: c.Do, Text: text, Err: message(err),
	})
}

func (s *service) do(c Command) (string, error) {
	switch c.Do {
	case "register":
		return "", s.registry.Register(c.Service, registry.RegisterTTL(c.TTL))
	case "deregister":
		return "", s.registry.Deregister(c.Service)
	case "look":
		return "", s.registry.lookup(c.Name)
	case "follow":
		s.follow(c.Name)
		return "", nil
	case "watch":
		return "", s.follower(c.Name).watch()
	case "init":
		return "", s.registry.Init(etcd.Auth(s.setup.User, c.Password))
	case "sick", "well":
		s.sick.Store(c.Do == "sick")
		return "", nil
	case "status":
		return s.status(), nil
	case "fleet":
		return "", s.muster(c)
	case "serve":
		return "", s.serve(c)
	case "unserve":
		return "", s.unserve()
	}
	return "", fmt.Errorf("unknown command %q", c.Do)
}

func (s *service) record(r *etcd.Registry) *recorder {
	return &recorder{Registry: r, output: s.output, timeout: s.setup.Timeout}
}

// follow begins to follow a service, until Close.
func (s *service) follow(name string) {
	f := newFollower(name, s.registry, &s.running)
	s.mu.Lock()
	s.followers[name] = f
	s.mu.Unlock()
	f.follow(s.ctx)
}

func (s *service) follower(name string) *follower {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.followers[name]
}

// status tells each registration's state and lease, and each view's staleness.
func (s *service) status() string {
	var text []byte
	now := s.registry.Status()
	for i := range now.Registrations {
		r := &now.Registrations[i]
		text = fmt.Appendf(text, "%s/%s %s lease=%x held=%t err=%q\n",
			r.Service, r.Node, r.State, r.Lease, r.Held != "", message(r.Err))
		for _, c := range r.Checks {
			text = fmt.Appendf(text, "check %s %s\n", c.Name, c.State)
		}
	}
	for _, f := range now.Followed {
		text = fmt.Appendf(text, "followed %s nodes=%d revision=%d stale=%v err=%q\n",
			f.Prefix, f.Nodes, f.Revision, f.Stale, message(f.Err))
	}
	return string(fmt.Appendf(text, "connected=%t\n", now.Connected))
}

// muster opens many more registries with one node each, to stand for as many processes.
func (s *service) muster(c Command) error {
	var all sync.WaitGroup
	errs := make([]error, c.Count)
	for i := range c.Count {
		all.Go(func() {
			r, err := etcd.New(s.options(s.setup.Password)...)
			if err != nil {
				errs[i] = err
				return
			}
			s.mu.Lock()
			s.fleet = append(s.fleet, r)
			s.mu.Unlock()
			one := *c.Service
			node := *one.Nodes[0]
			node.Id = fmt.Sprintf("%s-%d", node.Id, i)
			one.Nodes = []*registry.Node{&node}
			errs[i] = s.record(r).Register(&one, registry.RegisterTTL(c.TTL))
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// serve runs a real go-micro service.
func (s *service) serve(c Command) error {
	ctx, cancel := context.WithCancel(context.Background())
	quiet := logger.NewLogger(logger.WithOutput(os.Stderr), logger.WithLevel(logger.ErrorLevel))
	node := c.Service.Nodes[0]
	m := micro.NewService(
		micro.Context(ctx),
		micro.HandleSignal(false),
		micro.Server(server.NewRPCServer(
			server.Name(c.Service.Name), server.Version(c.Service.Version), server.Id(node.Id),
			server.Metadata(node.Metadata), server.Address("127.0.0.1:0"),
			server.Registry(s.registry), server.Broker(broker.NewMemoryBroker()), server.WithLogger(quiet),
			server.RegisterTTL(c.TTL), server.RegisterInterval(c.Interval),
		)),
	)
	ended := make(chan error, 1)
	s.running.Go(func() { ended <- m.Run() })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.micro = func() error { cancel(); return <-ended }
	return nil
}

func (s *service) unserve() error {
	s.mu.Lock()
	stop := s.micro
	s.micro = nil
	s.mu.Unlock()
	if stop == nil {
		return errors.New("nothing is served")
	}
	return stop()
}

// close closes everything, says how that went, and which goroutines it left.
func (s *service) close(c Command, known []goleak.Option) {
	s.answer(c, func(Command) (string, error) {
		s.stop()
		if s.micro != nil {
			_ = s.unserve() // a test that cares about it has done so before
		}
		for _, f := range s.followers {
			f.cache.Stop()
		}
		errs := []error{s.registry.Close()}
		var all sync.WaitGroup
		errs = append(errs, make([]error, len(s.fleet))...)
		for i, r := range s.fleet {
			all.Go(func() { errs[i+1] = r.Close() })
		}
		all.Wait()
		return "", errors.Join(errs...)
	})
	s.running.Wait()
	s.output.emit(history.Event{At: time.Now(), Kind: history.KindLeft, Text: message(goleak.Find(known...))})
}
