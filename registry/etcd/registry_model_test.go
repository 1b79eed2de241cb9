package etcd

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go-micro.dev/v4/registry"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/micro-etcd/micro-etcd/internal/etcdfake"
	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// model is two processes at a fake etcd of three members, one of which provides nodes, and what should come of what
// happens to them. The provider connects by itself; the reader may have a client of its caller's.
type model struct {
	t         *testing.T
	etcd      *fakeEtcd
	provider  *Registry
	reader    *Registry
	cacheDir  string      // the reader's
	followers []*follower // of either process, in turn
	mends     []func()    // end the faults there are

	wished  map[string]*registry.Service // of the provider, by node id
	told    map[string]error             // what the last Register returned
	foreign map[string]bool              // node ids that somebody else has taken since it last succeeded
	leases  int                          // of others, at most

	registered map[string]string // what it last succeeded with

	err error // what was wrong meanwhile
}

// step is one thing that happens. a and b choose among what it can be about.
type step struct {
	what string
	a, b int
}

func (s step) String() string { return fmt.Sprint(s.what, " ", s.a, " ", s.b) }

// ttlOf gives the nodes of the model different TTLs.
func ttlOf(id string) time.Duration {
	return map[string]time.Duration{"n0": 10 * time.Second, "n1": testTTL, "n2": time.Minute}[id]
}

// node returns what a step registers.
func (m *model) node(s step) *registry.Service {
	version := fmt.Sprint(1 + s.b%2)
	return &registry.Service{
		Name: "greeter", Version: version, Metadata: map[string]string{"of": version},
		Nodes: []*registry.Node{{Id: fmt.Sprint("n", s.a%3), Address: fmt.Sprint("a:", s.b%3)}},
	}
}

func foreignValue(id string, s step) string {
	return stored(&registry.Service{
		Name: "greeter", Version: fmt.Sprint(1 + s.b%2), Nodes: []*registry.Node{{Id: id, Address: fmt.Sprint("x:", s.b)}},
	})
}

// whatHappens are the steps, by name. A fault that lasts is left to be mended.
var whatHappens = map[string]func(*model, step){
	"register": func(m *model, s step) { m.register(m.node(s)) },
	"deregister": func(m *model, s step) {
		service := m.node(s)
		_ = m.provider.Deregister(service)
		delete(m.wished, service.Nodes[0].Id)
		delete(m.registered, service.Nodes[0].Id)
	},
	"other takes id": func(m *model, s step) {
		id := fmt.Sprint("n", s.a%3)
		if len(m.mends) > 0 || m.wished[id] != nil && m.told[id] != nil {
			return // who is the last one is a matter of luck
		}
		m.foreign[id] = true
		m.leases++
		m.etcd.PutKey(greeterDir+id, foreignValue(id, s), m.etcd.GrantLease(3600))
	},
	"other puts": func(m *model, s step) {
		id := fmt.Sprint("x", s.a%3)
		m.etcd.PutKey(greeterDir+id, foreignValue(id, s), 0)
	},
	"other leaves": func(m *model, s step) { m.etcd.Remove(fmt.Sprint(greeterDir, "x", s.a%3)) },
	"key deleted":  func(m *model, s step) { m.etcd.Remove(fmt.Sprint(greeterDir, "n", s.a%3)) },
	"all deleted":  func(m *model, _ step) { m.etcd.Remove(DefaultPrefix) },
	"junk":         func(m *model, s step) { m.etcd.PutKey(fmt.Sprint(greeterDir, "n", s.a%4), "junk", 0) },
	"revoke all":   func(m *model, _ step) { m.etcd.RevokeAll() },
	"compact":      func(m *model, _ step) { m.etcd.CompactNow() },
	"end streams":  func(m *model, _ step) { m.etcd.EndStreams(etcdfake.ErrUnavailable) },
	"end watches":  func(m *model, s step) { m.etcd.CancelWatches([]string{"", "whatever"}[s.a%2]) },
	"deny lease":   func(m *model, _ step) { m.mends = append(m.mends, m.etcd.DenyLease(1)) },
	"lose answers": func(m *model, s step) { m.mends = append(m.mends, m.etcd.LoseAnswers(etcdfake.Puts, 1+s.a%3)) },
	"ignore puts":  func(m *model, s step) { m.mends = append(m.mends, m.etcd.Ignore(etcdfake.Puts, 1+s.a%3)) },
	"late puts": func(m *model, s step) {
		m.mends = append(m.mends, m.etcd.DelayPast(etcdfake.Puts, 1+s.a%2, time.Second))
	},
	"late deletes": func(m *model, s step) {
		m.mends = append(m.mends, m.etcd.DelayPast(etcdfake.Deletes, 1+s.a%2, time.Second))
	},
	"refuse": func(m *model, _ step) {
		m.mends = append(m.mends, m.etcd.Refuse(requests, rpctypes.ErrGRPCPermissionDenied))
	},
	"fill": func(m *model, _ step) { m.mends = append(m.mends, m.etcd.Fill()) },
	"refuse watches": func(m *model, _ step) {
		m.mends = append(m.mends, m.etcd.Refuse(etcdfake.Watches, rpctypes.ErrGRPCInvalidAuthToken))
	},
	"unconfirmed watches": func(m *model, s step) { m.mends = append(m.mends, m.etcd.Ignore(etcdfake.Watches, 1+s.a%3)) },
	"lose requests":       func(m *model, s step) { m.mends = append(m.mends, m.etcd.Ignore(etcdfake.Anything, 1+s.a%5)) },
	"lose leader":         func(m *model, _ step) { m.mends = append(m.mends, m.etcd.LoseLeader()) },
	"cut":                 func(m *model, _ step) { m.etcd.Cut(); m.mends = append(m.mends, m.etcd.Mend) },
	"hold":                func(m *model, s step) { m.etcd.Hold(s.a%2 == 0); m.mends = append(m.mends, m.etcd.Mend) },
	"stop":                func(m *model, _ step) { m.etcd.Stop(); m.mends = append(m.mends, m.etcd.Start) },
	"member silent": func(m *model, s step) {
		m.etcd.Silence(member(s), s.b%2 == 0)
		m.mends = append(m.mends, m.etcd.Mend)
	},
	"member killed":      func(m *model, s step) { m.etcd.Kill(member(s)); m.mends = append(m.mends, m.etcd.Mend) },
	"member back":        func(m *model, s step) { m.etcd.Revive(member(s)) },
	"only a member away": (*model).loseMember,
	"wipe":               func(m *model, _ step) { m.etcd.Wipe() },
	"other cluster":      func(m *model, _ step) { m.etcd.MoveCluster() },
	"mend":               func(m *model, _ step) { m.mend() },
	"relist": func(m *model, s step) {
		[]*Registry{m.provider, m.reader}[s.a%2].components.Load().resync()
	},
	"pass": func(_ *model, s step) {
		time.Sleep([]time.Duration{time.Millisecond, time.Second, time.Minute}[s.a%3])
	},
	"look":       func(m *model, s step) { _, _ = look([]*Registry{m.provider, m.reader}[s.a%2], "greeter") },
	"pause":      func(m *model, s step) { m.followers[s.a%len(m.followers)].pause() },
	"resume":     func(m *model, s step) { m.followers[s.a%len(m.followers)].resume() },
	"watch anew": (*model).watchAnew,
	"start anew": (*model).startAnew,
}

// requests are what is refused together.
var requests = etcdfake.Either(etcdfake.Puts, etcdfake.Grants, etcdfake.Deletes, etcdfake.Reads, etcdfake.Renewals)

func member(s step) string { return etcdfake.Members[s.a%len(etcdfake.Members)] }

// loseMember lets one member fail while all else is well. What is wrong before it is back ends the play.
func (m *model) loseMember(s step) {
	if m.err = m.settle(); m.err != nil {
		return
	}
	time.Sleep(begunTime)
	before := make(map[string]int)
	for id := range m.wished {
		before[id] = m.etcd.losses(greeterDir + id)
	}
	if s.b%3 == 0 {
		m.etcd.Kill(member(s))
	} else {
		m.etcd.Silence(member(s), s.b%3 == 1)
	}
	m.mends = append(m.mends, m.etcd.Mend)
	if err := m.manage(s, before); err != nil {
		m.err = fmt.Errorf("without %s: %w", member(s), err)
	}
}

// manage says what one member is missed for: calls and watchers of whoever connects by himself wait for it, a record
// lapses, or something isn't right again in time.
func (m *model) manage(s step, losses map[string]int) error {
	const soon = 2 * time.Second
	for range 2 * len(etcdfake.Members) { // some of them meet it
		began := time.Now()
		if _, err := m.provider.GetService("greeter", Linearizable()); err != nil && !errors.Is(err, registry.ErrNotFound) {
			return err
		}
		if took := time.Since(began); took > soon {
			return fmt.Errorf("a lookup takes %s", took)
		}
	}
	m.etcd.PutKey(greeterDir+"x0", foreignValue("x0", s), 0)
	time.Sleep(soon)
	for i, f := range m.followers {
		if m.registryOf(i) != m.provider {
			continue
		}
		if wrong := m.etcd.differ("greeter", m.provider, f); wrong != "" {
			return errors.New(wrong)
		}
	}
	time.Sleep(2 * time.Minute) // longer than any lease lives
	for id, n := range losses {
		if m.etcd.losses(greeterDir+id) > n {
			return fmt.Errorf("%s was missing", id)
		}
	}
	return m.wrong()
}

// watchAnew replaces a follower by one that looks up, and watches a little later.
func (m *model) watchAnew(s step) {
	i := s.a % len(m.followers)
	r := m.registryOf(i)
	shown, err := look(r, "greeter")
	if err != nil {
		return
	}
	time.Sleep([]time.Duration{0, time.Second, 10 * time.Second}[s.b%3])
	f, err := follow(r, "greeter", shown)
	if err != nil {
		return
	}
	m.followers[i].stop()
	m.followers[i] = f
}

// startAnew replaces the reader by one that starts from its cache file if etcd is away, as it often is then. Without a
// file it can't look up before etcd is back.
func (m *model) startAnew(s step) {
	_ = m.reader.Close()
	switch s.a % 3 {
	case 0:
		m.etcd.Cut()
		m.mends = append(m.mends, m.etcd.Mend)
	case 1:
		m.mends = append(m.mends, m.etcd.Ignore(etcdfake.Reads, 1+s.b%5))
	}
	m.newReader(s.b%2 == 0)
	for i, f := range m.followers {
		if m.registryOf(i) != m.reader {
			continue
		}
		f.stop()
		shown, err := look(m.reader, "greeter")
		for ; err != nil; shown, err = look(m.reader, "greeter") {
			m.mend()
			time.Sleep(time.Second)
		}
		if m.followers[i], err = follow(m.reader, "greeter", shown); err != nil {
			m.t.Fatal(err)
		}
	}
}

func (m *model) newReader(connected bool) {
	if connected {
		m.reader, _ = m.etcd.newConnected(m.t, CacheDir(m.cacheDir))
		return
	}
	client := m.etcd.NewClient(m.t, etcdfake.Members...)
	m.reader, _ = open(m.t, Client(client), CacheDir(m.cacheDir))
}

func (m *model) registryOf(follower int) *Registry {
	return []*Registry{m.provider, m.reader}[follower%2]
}

// register notes that a node is the provider's, unless it only repeats what was registered.
func (m *model) register(s *registry.Service) {
	id := s.Nodes[0].Id
	m.wished[id] = s
	m.told[id] = m.provider.Register(s, registry.RegisterTTL(ttlOf(id)))
	if m.told[id] == nil && m.registered[id] != stored(s) {
		m.registered[id] = stored(s)
		delete(m.foreign, id)
	}
}

func (m *model) mend() {
	for _, mend := range m.mends {
		mend()
	}
	m.mends = nil
}

// settleTime is what everything may take to be right again, another history included.
const settleTime = repairTime + 15*time.Second

// begunTime is how long what was begun before may go on when all is well. A watch that etcd has ignored is one.
const begunTime = 20 * time.Second

// settle ends all faults and waits until all is well.
func (m *model) settle() error {
	m.mend()
	for _, f := range m.followers {
		f.resume()
	}
	for id, s := range m.wished { // go-micro repeats what failed
		if m.told[id] != nil {
			if m.register(s); m.told[id] != nil {
				time.Sleep(retry.MaxRefused)
				m.register(s)
			}
		}
	}
	err := m.wrong()
	for began := time.Now(); err != nil && time.Since(began) < settleTime; err = m.wrong() {
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// wrong says what isn't as it should be.
func (m *model) wrong() error {
	for _, id := range []string{"n0", "n1", "n2"} {
		value, _, there := m.etcd.value(greeterDir + id)
		others := m.foreign[id] && strings.Contains(value, `"x:`) || m.wished[id] == nil && value == "junk"
		switch s := m.wished[id]; {
		case others:
		case s == nil && there:
			return fmt.Errorf("%s is there and not wished for: %s", id, value)
		case s != nil && m.told[id] != nil:
			return fmt.Errorf("register %s: %w", id, m.told[id])
		case s != nil && !m.etcd.has(s):
			return fmt.Errorf("%s isn't there as wished for, but %q", id, value)
		}
	}
	for i, f := range m.followers {
		if wrong := m.etcd.differ("greeter", m.registryOf(i), f); wrong != "" {
			return errors.New(wrong)
		}
	}
	return nil
}

// costs says what was asked of etcd that needn't be.
func (m *model) costs() error {
	time.Sleep(begunTime)
	synctest.Wait()
	before := m.etcd.requests()
	for range 10 {
		for id, s := range m.wished {
			if err := m.provider.Register(s, registry.RegisterTTL(ttlOf(id))); err != nil {
				return fmt.Errorf("repeated register of %s: %w", id, err)
			}
		}
		_, _ = look(m.provider, "greeter")
		_, _ = look(m.reader, "greeter")
	}
	synctest.Wait()
	if asked := m.etcd.requests() - before; asked > 0 {
		return fmt.Errorf("%d requests for lookups of what is followed and registers of what is registered", asked)
	}
	before = m.etcd.requests()
	time.Sleep(2 * time.Minute)
	const perMinute = 40 // probes of two processes, renewals at TTL 10 and 30, and now and then a list
	if asked := m.etcd.requests() - before; asked > 2*perMinute {
		return fmt.Errorf("%d requests in two quiet minutes", asked)
	}
	return m.wrong()
}

// leave ends both processes and says what they left.
func (m *model) leave() error {
	for id, s := range m.wished {
		if err := m.provider.Deregister(s); err != nil {
			return err
		}
		delete(m.wished, id)
	}
	if err := m.provider.Close(); err != nil {
		return err
	}
	if err := m.reader.Close(); err != nil {
		return err
	}
	for _, f := range m.followers {
		f.stop()
	}
	m.followers = nil
	for _, id := range []string{"n0", "n1", "n2"} {
		if value, _, there := m.etcd.value(greeterDir + id); there && value != "junk" && !strings.Contains(value, `"x:`) {
			return fmt.Errorf("%s is left", id)
		}
	}
	synctest.Wait()
	// the etcd client cancels some watches only when they have something to say
	for _, id := range []string{"n0", "n1", "n2", "x0"} {
		m.etcd.PutKey(greeterDir+id, "", 0)
	}
	synctest.Wait()
	if left := m.etcd.watchCount(); left > 0 {
		return fmt.Errorf("%d watches are left", left)
	}
	if left := m.etcd.leaseCount() - m.leases; left > 0 {
		return fmt.Errorf("%d leases are left", left)
	}
	return nil
}

// play lets some steps happen to a new model, and says what was wrong afterwards.
func play(t *testing.T, steps []step) (err error) {
	t.Helper()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		m := &model{
			t: t, etcd: e, wished: make(map[string]*registry.Service), told: make(map[string]error),
			foreign:    make(map[string]bool),
			registered: make(map[string]string),
			cacheDir:   t.TempDir(),
		}
		e.Grow(100) // a new history is shorter then
		m.provider, _ = e.newConnected(t)
		m.newReader(len(steps)%2 == 0)
		for i := range 3 {
			shown := looked(t, m.registryOf(i), "greeter")
			f, err := follow(m.registryOf(i), "greeter", shown)
			if err != nil {
				t.Fatal(err)
			}
			m.followers = append(m.followers, f)
		}
		for _, s := range steps {
			if whatHappens[s.what](m, s); m.err != nil {
				break
			}
			synctest.Wait()
		}
		if err = m.err; err == nil {
			err = m.settle()
		}
		if err == nil {
			err = m.costs()
		}
		if err == nil {
			err = m.leave()
		}
		for _, f := range m.followers {
			f.stop()
		}
	})
	return err
}

// playHard plays steps several times: what comes of them depends on some chance.
func playHard(t *testing.T, play func(*testing.T, []step) error, steps []step, times int) error {
	t.Helper()
	for range times {
		if err := play(t, steps); err != nil {
			return err
		}
	}
	return nil
}

// shrink drops steps, in ever smaller pieces, as long as what is left still goes wrong.
func shrink(t *testing.T, play func(*testing.T, []step) error, steps []step) []step {
	t.Helper()
	for size := max(len(steps)/2, 1); size > 0; size /= 2 {
		for at := 0; at+size <= len(steps); {
			fewer := slices.Delete(slices.Clone(steps), at, at+size)
			if playHard(t, play, fewer, 3) != nil {
				steps = fewer
			} else {
				at += size
			}
		}
	}
	return steps
}

// likely are the steps of a script, the frequent ones several times.
var likely = func() []string {
	var names []string
	for name := range whatHappens {
		names = append(names, name)
	}
	for range 5 {
		names = append(names, "register")
	}
	names = append(
		names, "register", "deregister", "deregister", "other puts", "other leaves", "pass", "pass", "mend", "mend", "mend",
		"start anew", "start anew", "start anew",
	)
	slices.Sort(names)
	return names
}()

// Whatever happens to a process and its etcd: afterwards what is wished for is there and nothing else of ours, and
// lookups and watchers tell the truth, all at a bounded cost.
func TestWhateverHappensAllIsWellAfterwards(t *testing.T) {
	t.Parallel()
	seed := *randomSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("to repeat: -run TestWhateverHappens -seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 100 {
		steps := make([]step, 1+random.IntN(12))
		for i := range steps {
			steps[i] = step{likely[random.IntN(len(likely))], random.IntN(12), random.IntN(12)}
		}
		if err := play(t, steps); err != nil {
			few := shrink(t, play, steps)
			t.Fatalf("%v\nafter\n%v\nand %v\nafter\n%v", playHard(t, play, few, 10), few, err, steps)
		}
	}
}
