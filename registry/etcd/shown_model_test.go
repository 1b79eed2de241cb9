package etcd

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/micro-etcd/micro-etcd/internal/etcdfake"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
)

// shownModel is a registry whose callers look up in every way there is, and watch, while others' nodes come and go and
// etcd is slow, silent, or away. It checks that no event is lost: whoever folds what a watcher returned over what any
// lookup returned in the minute before it began has what etcd has; and so has whoever looks a service up while he
// watches it, as go-micro's cache does.
type shownModel struct {
	etcd     *fakeEtcd
	registry *Registry
	selector selector.Selector
	mends    []func()
	calls    sync.WaitGroup

	mu      sync.Mutex
	number  int // of the lookups and watches so far
	looks   []pastLook
	watches []*pastWatch
}

type pastLook struct {
	what   string
	number int
	at     time.Time
	name   string // "" for all
	got    consumer
}

type pastWatch struct {
	name    string // "" for all
	number  int
	began   time.Time
	watcher registry.Watcher
	done    chan struct{}

	mu  sync.Mutex
	got []*registry.Result
}

func modelName(s step) string { return []string{"x", "y"}[s.a%2] }

// shownSteps are the steps, by name.
var shownSteps = map[string]func(*shownModel, step){
	"put": func(m *shownModel, s step) {
		name, id := modelName(s), fmt.Sprint("n", s.a/2%3)
		version := fmt.Sprint(1 + s.b%2)
		m.etcd.PutKey(DefaultPrefix+name+"/"+id, stored(&registry.Service{
			Name: name, Version: version, Metadata: map[string]string{"of": fmt.Sprint(s.b / 2 % 2)},
			Nodes: []*registry.Node{{Id: id, Address: fmt.Sprint("a:", s.b%3)}},
		}), 0)
	},
	"delete": func(m *shownModel, s step) {
		m.etcd.Remove(fmt.Sprint(DefaultPrefix, modelName(s), "/n", s.a/2%3))
	},
	"delete all": func(m *shownModel, s step) { m.etcd.Remove(DefaultPrefix + modelName(s) + "/") },
	"get": func(m *shownModel, s step) {
		m.look("get", modelName(s), func() ([]*registry.Service, error) { return m.registry.GetService(modelName(s)) })
	},
	"get linearizable": func(m *shownModel, s step) {
		m.look("linearizable", modelName(s), func() ([]*registry.Service, error) {
			return m.registry.GetService(modelName(s), Linearizable())
		})
	},
	"list services": func(m *shownModel, _ step) {
		m.look("list", "", func() ([]*registry.Service, error) { return m.registry.ListServices() })
	},
	"select": func(m *shownModel, s step) {
		m.calls.Go(func() { _, _ = m.selector.Select(modelName(s)) })
	},
	"watch":     func(m *shownModel, s step) { m.watch(modelName(s)) },
	"watch all": func(m *shownModel, _ step) { m.watch("") },
	"stop": func(m *shownModel, s step) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(m.watches) > 0 {
			i := s.a % len(m.watches)
			m.watches[i].end()
			m.watches = slices.Delete(m.watches, i, i+1)
		}
	},
	"slow list": func(m *shownModel, s step) { m.slow(s, true) },
	"late list": func(m *shownModel, s step) { m.slow(s, false) },
	"relist":    func(m *shownModel, _ step) { m.relist() },
	"mute": func(m *shownModel, _ step) {
		m.etcd.Mute(true)
		m.mends = append(m.mends, func() { m.etcd.Mute(false) })
	},
	"end watches": func(m *shownModel, _ step) { m.etcd.CancelWatches("") },
	"compact":     func(m *shownModel, _ step) { m.etcd.CompactNow() },
	"cut":         func(m *shownModel, _ step) { m.etcd.Cut(); m.mends = append(m.mends, m.etcd.Mend) },
	"refuse lists": func(m *shownModel, _ step) {
		m.mends = append(m.mends, m.etcd.Refuse(etcdfake.Reads, etcdfake.ErrUnavailable))
	},
	"refuse watches": func(m *shownModel, _ step) {
		m.mends = append(m.mends, m.etcd.Refuse(etcdfake.Watches, rpctypes.ErrGRPCInvalidAuthToken))
	},
	"unconfirmed watches": func(m *shownModel, s step) {
		m.mends = append(m.mends, m.etcd.Ignore(etcdfake.Watches, 1+s.a%3))
	},
	"lose requests": func(m *shownModel, s step) {
		m.mends = append(m.mends, m.etcd.Ignore(etcdfake.Anything, 1+s.a%5))
	},
	"lose answers": func(m *shownModel, s step) {
		m.mends = append(m.mends, m.etcd.LoseAnswers(etcdfake.Reads, 1+s.a%3))
	},
	"hold":          func(m *shownModel, s step) { m.etcd.Hold(s.a%2 == 0); m.mends = append(m.mends, m.etcd.Mend) },
	"mend":          func(m *shownModel, _ step) { m.mend() },
	"moment":        func(*shownModel, step) { time.Sleep(time.Millisecond) },
	"second":        func(*shownModel, step) { time.Sleep(time.Second) },
	"half a minute": func(*shownModel, step) { time.Sleep(35 * time.Second) },
	"until idle":    func(*shownModel, step) { time.Sleep(viewIdleTime + 2*viewSweepTime) },
}

// slow makes the next list of some part take a while, before or after etcd has read it.
func (m *shownModel) slow(s step, before bool) {
	key := DefaultPrefix + []string{"x/", "y/", ""}[s.a%3]
	m.etcd.On(func(_ string, request any) bool {
		r, ok := request.(*pb.RangeRequest)
		return ok && string(r.Key) == key && !r.CountOnly
	}, 1, func(ctx context.Context, answer func() (any, error)) (any, error) {
		if before {
			m.etcd.Wait(ctx, time.Duration(1+s.b%3)*time.Second)
			return answer()
		}
		a, err := answer()
		m.etcd.Wait(ctx, time.Duration(1+s.b%3)*time.Second)
		return a, err
	})
}

func (m *shownModel) relist() {
	for _, v := range m.registry.components.Load().views.All() {
		v.Relist(metrics.ListPeriodic)
	}
}

func (m *shownModel) mend() {
	for _, mend := range m.mends {
		mend()
	}
	m.mends = nil
}

// look calls, and keeps what was shown.
func (m *shownModel) look(what, name string, call func() ([]*registry.Service, error)) {
	m.calls.Go(func() {
		services, err := call()
		if err != nil && err != registry.ErrNotFound { //nolint:errorlint // go-micro's users compare it
			return
		}
		got := make(consumer)
		for _, s := range services {
			got[s.Name+"@"+s.Version] = s
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.number++
		m.looks = append(m.looks, pastLook{what, m.number, time.Now(), name, got})
	})
}

func (m *shownModel) watch(name string) {
	m.calls.Go(func() {
		m.mu.Lock()
		m.number++
		w := &pastWatch{name: name, number: m.number, began: time.Now(), done: make(chan struct{})}
		m.mu.Unlock()
		watcher, err := m.registry.Watch(registry.WatchService(name))
		if err != nil {
			return
		}
		w.watcher = watcher
		go w.run()
		m.mu.Lock()
		defer m.mu.Unlock()
		m.watches = append(m.watches, w)
	})
}

func (w *pastWatch) run() {
	defer close(w.done)
	for {
		result, err := w.watcher.Next()
		if err != nil {
			return
		}
		w.mu.Lock()
		w.got = append(w.got, result)
		w.mu.Unlock()
	}
}

func (w *pastWatch) end() {
	w.watcher.Stop()
	<-w.done
}

// concerns reports whether a lookup and a watch have a service in common.
func (l pastLook) concerns(w *pastWatch, name string) bool {
	if l.number > w.number {
		return l.what == "get" && l.name == name && w.name == name
	}
	return (l.name == "" || l.name == name) && (w.name == "" || w.name == name) && !l.at.Before(w.began.Add(-time.Minute))
}

// folded returns what a consumer of one service has that looked and watched.
func (w *pastWatch) folded(l pastLook, name string) consumer {
	c := make(consumer)
	take := func(s *registry.Service) *registry.Service {
		one := *s
		one.Nodes = slices.Clone(s.Nodes)
		return &one
	}
	for key, s := range l.got {
		if s.Name == name {
			c[key] = take(s)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.got {
		if r.Service.Name == name {
			c.fold(&registry.Result{Action: r.Action, Service: take(r.Service)})
		}
	}
	return c
}

func (w *pastWatch) story() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines := make([]string, len(w.got))
	for i, r := range w.got {
		lines[i] = fmt.Sprint(r.Action, " ", r.Service.Name, "@", r.Service.Version, "/", r.Service.Nodes[0].Id)
	}
	return strings.Join(lines, ", ")
}

// wrong says who has something else than etcd.
func (m *shownModel) wrong() error {
	for _, name := range []string{"x", "y"} {
		want := m.etcd.truth(name).lines()
		shown, err := look(m.registry, name)
		if err != nil {
			return err
		}
		if got := shown.lines(); !slices.Equal(got, want) {
			return fmt.Errorf("the lookup shows %q where etcd has %q", got, want)
		}
		for _, w := range m.watches {
			for _, l := range m.looks {
				if got := w.folded(l, name).lines(); l.concerns(w, name) && !slices.Equal(got, want) {
					return fmt.Errorf("a watch of %q that began at %s, folded over a lookup (%s) of %q at %s that showed %q,"+
						" has %q where etcd has %q; it was told %q", w.name, w.began.Format("15:04:05.000"), l.what, l.name,
						l.at.Format("15:04:05.000"), l.got.lines(), got, want, w.story())
				}
			}
		}
	}
	return nil
}

func playShown(t *testing.T, steps []step) (err error) {
	t.Helper()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		m := &shownModel{etcd: e}
		m.registry, _ = e.newRegistry(t)
		m.selector = NewSelector(selector.Registry(m.registry))
		for _, s := range steps {
			shownSteps[s.what](m, s)
			synctest.Wait()
		}
		m.mend()
		m.calls.Wait()
		time.Sleep(settleTime)
		m.relist() // which finds what a muted watch has missed
		time.Sleep(15 * time.Second)
		synctest.Wait()
		err = m.wrong()
		for _, w := range m.watches {
			w.end()
		}
		_ = m.selector.Close()
	})
	return err
}

var likelyShown = func() []string {
	often := []string{
		"put", "put", "put", "delete", "delete", "get", "get", "get linearizable", "get linearizable",
		"list services", "watch", "watch all", "slow list", "slow list", "late list", "moment", "moment", "second", "relist",
	}
	for name := range shownSteps {
		often = append(often, name)
	}
	slices.Sort(often)
	return often
}()

func TestNoEventIsLostWhateverWasShownFromWhere(t *testing.T) {
	t.Parallel()
	seed := *randomSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("to repeat: -run TestNoEventIsLost -seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 100 {
		steps := make([]step, 1+random.IntN(25))
		for i := range steps {
			steps[i] = step{likelyShown[random.IntN(len(likelyShown))], random.IntN(12), random.IntN(12)}
		}
		if err := playShown(t, steps); err != nil {
			few := shrink(t, playShown, steps)
			t.Fatalf("%v\nafter\n%v\nand %v\nafter\n%v", playHard(t, playShown, few, 10), few, err, steps)
		}
	}
}
