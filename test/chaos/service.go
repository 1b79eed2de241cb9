package chaos

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
	"go-micro.dev/v4/registry/cache"
	"go-micro.dev/v4/server"
	"go.uber.org/goleak"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/leak"
)

// command is a line that a service process reads. Each is carried out in a goroutine of its own and answered by one
// event of kindDone.
type command struct {
	ID       int               `json:"id"`
	Do       string            `json:"do"`
	Service  *registry.Service `json:"service,omitempty"`
	Name     string            `json:"name,omitempty"`
	TTL      time.Duration     `json:"ttl,omitempty"`
	Interval time.Duration     `json:"interval,omitempty"`
	Password string            `json:"password,omitempty"`
	Count    int               `json:"count,omitempty"`
}

// setup is what a service process is started with.
type setup struct {
	Endpoints []string      `json:"endpoints"`
	Timeout   time.Duration `json:"timeout"`
	User      string        `json:"user,omitempty"`
	Password  string        `json:"password,omitempty"`
}

// setupVariable, when set, makes the test binary a service process.
const setupVariable = "MICRO_ETCD_CHAOS_SERVICE"

// lookEvery is how often a follower looks up.
const lookEvery = 20 * time.Millisecond

// service is a process that uses the registry as an application does, and tells what it does and sees.
type service struct {
	setup    setup
	registry *recorder
	output   sync.Mutex
	encoder  *json.Encoder
	watchers atomic.Int64

	ctx     context.Context // ends when Close is asked for
	stop    context.CancelFunc
	running sync.WaitGroup

	mu        sync.Mutex
	followers map[string]*follower
	caches    []cache.Cache
	fleet     []*etcd.Registry
	micro     func() error // stops the running go-micro service
}

// runService serves commands from stdin until it ends or says close. It returns the exit code.
func runService(text string) int {
	known := leak.Known()
	s := &service{encoder: json.NewEncoder(os.Stdout), followers: map[string]*follower{}}
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
	s.registry = &recorder{Registry: r, service: s}
	commands := bufio.NewScanner(os.Stdin)
	commands.Buffer(nil, 1<<20)
	for commands.Scan() {
		var c command
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
	return opts
}

func (s *service) emit(e event) {
	s.output.Lock()
	err := s.encoder.Encode(e)
	s.output.Unlock()
	if err != nil {
		os.Exit(3) // whoever started us is gone
	}
}

func (s *service) answer(c command, do func(command) (string, error)) {
	began := time.Now()
	text, err := do(c)
	s.emit(event{At: began, Took: time.Since(began), Kind: kindDone, ID: c.ID, Op: c.Do, Text: text, Err: message(err)})
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (s *service) do(c command) (string, error) {
	switch c.Do {
	case "register":
		return "", s.registry.Register(c.Service, registry.RegisterTTL(c.TTL))
	case "deregister":
		return "", s.registry.Deregister(c.Service)
	case "look":
		return "", s.look(c.Name)
	case "follow":
		s.follow(c.Name)
		return "", nil
	case "watch":
		return "", s.watch(c.Name)
	case "init":
		return "", s.registry.Init(etcd.Auth(s.setup.User, c.Password))
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

func (s *service) look(name string) error {
	began := time.Now()
	services, err := s.registry.GetService(name)
	s.emit(event{
		At: began, Took: time.Since(began), Kind: kindView, Name: name, Via: "call",
		Services: services, Err: message(err), Bound: s.setup.Timeout,
	})
	return err
}

// status tells each registration's state and lease, and each view's staleness.
func (s *service) status() string {
	var text []byte
	now := s.registry.Status()
	for i := range now.Registrations {
		r := &now.Registrations[i]
		text = fmt.Appendf(text, "%s/%s %s lease=%x err=%q\n", r.Service, r.Node, r.State, r.Lease, message(r.Err))
	}
	for _, f := range now.Followed {
		text = fmt.Appendf(text, "followed %s nodes=%d revision=%d stale=%v err=%q\n", f.Prefix, f.Nodes, f.Revision, f.Stale, message(f.Err))
	}
	return string(fmt.Appendf(text, "connected=%t\n", now.Connected))
}

// muster opens many more registries with one node each, to stand for as many processes.
func (s *service) muster(c command) error {
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
			errs[i] = (&recorder{Registry: r, service: s}).Register(&one, registry.RegisterTTL(c.TTL))
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// serve runs a real go-micro service.
func (s *service) serve(c command) error {
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
func (s *service) close(c command, known []goleak.Option) {
	s.answer(c, func(command) (string, error) {
		s.stop()
		if s.micro != nil {
			_ = s.unserve() // a test that cares about it has done so before
		}
		for _, c := range s.caches {
			c.Stop()
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
	s.emit(event{At: time.Now(), Kind: kindLeft, Text: message(goleak.Find(known...))})
}
