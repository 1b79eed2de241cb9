package check

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/test/chaos/history"
	"github.com/micro-etcd/micro-etcd/test/chaos/record"
)

// script writes histories by hand, at seconds since a beginning.
type script struct {
	begin  time.Time
	events []*history.Event
	looked map[string]float64 // when truth, or a view, was last looked at
}

func newScript() *script {
	return &script{begin: time.Unix(1_000_000, 0), looked: map[string]float64{}}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (b *script) add(at float64, e history.Event) {
	e.At = b.begin.Add(seconds(at))
	b.events = append(b.events, &e)
}

func (b *script) call(at float64, process, op string, s *registry.Service, err string) {
	b.add(at, history.Event{
		Kind: history.KindCall, Process: process, Op: op, Service: s, TTL: 5 * time.Second, Err: err,
		Bound: 5 * time.Second,
	})
}

// truth says what etcd holds from a time on.
func (b *script) truth(at float64, records ...*registry.Service) {
	e := history.Event{Kind: history.KindTruth, Records: map[string]string{}, Before: b.begin.Add(seconds(at - 0.02))}
	for _, s := range records {
		e.Records[record.KeyOf(s)] = record.Canonical(s)
	}
	b.add(at, e)
}

// view says what a lookup says from a time on.
func (b *script) view(at float64, process string, services ...*registry.Service) {
	for _, via := range []string{"registry", "cache"} {
		b.add(at, history.Event{
			Kind: history.KindView, Process: process, Name: "greeter", Via: via, Services: services,
			Before: b.begin.Add(seconds(at - 0.02)), Bound: 5 * time.Second,
		})
	}
}

func (b *script) seen(at float64, process, action string, s *registry.Service) {
	b.add(at, history.Event{Kind: history.KindSeen, Process: process, Watcher: 1, Action: action, Service: s})
}

// all is what etcd, the consumer's lookups and its watcher all say from a time on.
func (b *script) all(at float64, records ...*registry.Service) {
	b.truth(at, records...)
	b.view(at, "consumer", records...)
}

func (b *script) check() []Violation {
	slices.SortStableFunc(b.events, func(a, b *history.Event) int { return a.At.Compare(b.At) })
	return History(b.events)
}

// edit changes the events that match.
func (b *script) edit(match func(*history.Event) bool, change func(*history.Event)) {
	n := 0
	for i := range b.events {
		if match(b.events[i]) {
			change(b.events[i])
			n++
		}
	}
	if n == 0 {
		panic("nothing to edit")
	}
}

func (b *script) drop(match func(*history.Event) bool) {
	n := len(b.events)
	if b.events = slices.DeleteFunc(b.events, match); len(b.events) == n {
		panic("nothing to drop")
	}
}

var (
	n1      = record.New("greeter", "1", "n1", "provider", "1")
	n2      = record.New("greeter", "1", "n2", "killed", "2")
	n3      = record.New("greeter", "1", "n3", "provider", "3")
	changed = record.New("greeter", "1", "n1", "provider", "4")
)

// clean is a history without fault: a provider registers n1 and n3, changes n1 and deregisters n3; another one
// registers n2 and is killed; a consumer sees it all; and everybody closes.
func clean() *script {
	b := newScript()
	for _, p := range []string{"provider", "killed", "consumer"} {
		b.add(0, history.Event{Kind: history.KindBegan, Process: p})
	}
	b.truth(0)
	b.view(0.1, "consumer")
	b.add(0.2, history.Event{Kind: history.KindWatching, Process: "consumer", Watcher: 1, Name: "greeter"})
	b.call(1, "provider", "register", n1, "")
	b.call(1, "killed", "register", n2, "")
	b.call(1, "provider", "register", n3, "")
	b.all(1, n1, n2, n3)
	b.seen(1, "consumer", "create", n1)
	b.seen(1, "consumer", "create", n2)
	b.seen(1, "consumer", "create", n3)
	b.add(5, history.Event{Kind: history.KindKilled, Process: "killed"})
	b.call(6, "provider", "deregister", n3, "")
	b.all(6, n1, n2)
	b.seen(6, "consumer", "delete", n3)
	b.call(7, "provider", "register", changed, "")
	b.all(7, changed, n2)
	b.seen(7, "consumer", "update", changed)
	b.all(10, changed)
	b.seen(10, "consumer", "delete", n2)
	b.add(30, history.Event{Kind: history.KindQuiet})
	for _, p := range []string{"provider", "consumer"} {
		b.add(31, history.Event{Kind: history.KindClosed, Process: p})
		b.add(31.1, history.Event{Kind: history.KindCall, Process: p, Op: "close", Bound: 5 * time.Second})
		b.add(31.2, history.Event{Kind: history.KindLeft, Process: p})
	}
	b.truth(31.1)
	b.add(32, history.Event{Kind: history.KindRemain})
	b.add(33,
		history.Event{Kind: history.KindTruth, Err: "nobody looks any more", Before: b.begin.Add(33 * time.Second)})
	return b
}

func TestACleanHistoryPasses(t *testing.T) { require.Empty(t, clean().check()) }

func TestPlantedViolationsAreCaught(t *testing.T) {
	kindIs := func(k history.Kind) func(*history.Event) bool {
		return func(e *history.Event) bool { return e.Kind == k }
	}
	at := func(b *script, s float64) time.Time { return b.begin.Add(seconds(s)) }
	tests := map[string]struct {
		promise string
		plant   func(*script)
	}{
		"a record vanishes from etcd for a second": {"P2", func(b *script) { b.truth(20, n2); b.truth(21, changed) }},
		"a record never comes": {"P2", func(b *script) {
			b.edit(
				func(e *history.Event) bool { return e.Kind == history.KindTruth && len(e.Records) == 3 },
				func(e *history.Event) { delete(e.Records, "greeter/n1") },
			)
		}},
		"a record is somebody else's": {"P2", func(b *script) {
			b.truth(20, record.New("greeter", "1", "n1", "killed", "9"))
			b.truth(22, changed)
		}},
		"a record goes back to an older one": {"P2", func(b *script) { b.truth(20, n1); b.truth(22, changed) }},
		"a record vanishes later than excused": {"P2", func(b *script) {
			b.add(18, history.Event{Kind: history.KindExcuse, Took: 3 * time.Second})
			b.truth(20)
			b.truth(22, changed)
		}},
		"a record vanishes from a view": {
			"P2",
			func(b *script) { b.view(20, "consumer"); b.view(21, "consumer", changed) },
		},
		"a watcher hears that a living record has gone": {"P2", func(b *script) {
			b.seen(20, "consumer", "delete", changed)
			b.seen(20.01, "consumer", "create", changed)
		}},
		"a view never shows a record": {"P2", func(b *script) {
			b.edit(
				func(e *history.Event) bool { return e.Kind == history.KindView && len(e.Services) == 3 },
				func(e *history.Event) { e.Services = e.Services[1:] },
			)
			b.edit(func(e *history.Event) bool {
				return e.Kind == history.KindView && len(e.Services) == 2 && e.At.Equal(at(b, 6))
			}, func(e *history.Event) { e.Services = e.Services[1:] })
		}},
		"a killed process's record stays in etcd": {"P3", func(b *script) {
			b.edit(
				func(e *history.Event) bool { return e.Kind == history.KindTruth && e.At.Equal(at(b, 10)) },
				func(e *history.Event) { e.Records[record.KeyOf(n2)] = record.Canonical(n2) },
			)
		}},
		"a deregistered record stays in etcd": {"P3", func(b *script) {
			b.edit(
				func(e *history.Event) bool { return e.Kind == history.KindTruth && e.At.Equal(at(b, 6)) },
				func(e *history.Event) { e.Records[record.KeyOf(n3)] = record.Canonical(n3) },
			)
		}},
		"a deregistered record comes back": {"P3", func(b *script) { b.truth(20, changed, n3); b.truth(21, changed) }},
		"a killed process's record stays in a view": {"P3", func(b *script) {
			b.edit(
				func(e *history.Event) bool { return e.Kind == history.KindView && e.At.Equal(at(b, 10)) },
				func(e *history.Event) { e.Services = append(e.Services, n2) },
			)
		}},
		"a watcher misses a delete": {"P4", func(b *script) {
			b.drop(func(e *history.Event) bool { return e.Action == "delete" && e.Service == n2 })
		}},
		"a watcher misses a create": {"P4", func(b *script) {
			b.drop(func(e *history.Event) bool { return e.Action == "create" && e.Service == n1 })
			b.drop(func(e *history.Event) bool { return e.Action == "update" })
		}},
		"a watcher misses an update": {
			"P4",
			func(b *script) { b.drop(func(e *history.Event) bool { return e.Action == "update" }) },
		},
		"a delete has another version": {"P4", func(b *script) {
			b.edit(
				func(e *history.Event) bool { return e.Action == "delete" && e.Service == n2 },
				func(e *history.Event) { e.Service = record.New("greeter", "2", "n2", "killed", "2") },
			)
		}},
		"a lookup differs at the end": {"P4", func(b *script) { b.view(29, "consumer", changed, n3) }},
		"a view goes back in time": {
			"P4",
			func(b *script) { b.view(20, "consumer", n1); b.view(20.05, "consumer", changed) },
		},
		"a watcher goes back in time": {
			"P4",
			func(b *script) { b.seen(20, "consumer", "update", n1); b.seen(20.1, "consumer", "update", changed) },
		},
		"a watcher fails": {"P4", func(b *script) {
			b.add(20, history.Event{Kind: history.KindStopped, Process: "consumer", Watcher: 1, Err: "compacted"})
		}},
		"nobody compares at the end": {"P4", func(b *script) { b.drop(kindIs(history.KindQuiet)) }},
		"a lookup fails": {"P5", func(b *script) {
			b.add(20, history.Event{
				Kind: history.KindView, Process: "consumer", Name: "greeter", Via: "registry",
				Services: []*registry.Service{changed}, Err: "deadline exceeded", Before: at(b, 20),
			})
		}},
		"a call takes too long": {"P6", func(b *script) {
			b.edit(
				func(e *history.Event) bool { return e.Op == "deregister" },
				func(e *history.Event) { e.Took = 7 * time.Second; e.At = at(b, -1) },
			)
		}},
		"a lookup takes too long": {"P6", func(b *script) {
			b.add(12, history.Event{
				Kind: history.KindView, Process: "consumer", Name: "unknown", Via: "call", Took: 7 * time.Second,
				Bound: 5 * time.Second,
			})
		}},
		"goroutines are left": {
			"P6",
			func(b *script) { b.edit(kindIs(history.KindLeft), func(e *history.Event) { e.Text = "goroutine 7" }) },
		},
		"nobody asks for goroutines": {"P6", func(b *script) {
			b.drop(func(e *history.Event) bool { return e.Kind == history.KindLeft && e.Process == "provider" })
		}},
		"a lease is left": {
			"P6",
			func(b *script) { b.edit(kindIs(history.KindRemain), func(e *history.Event) { e.Text = "1 lease" }) },
		},
		"nobody asks for leases": {"P6", func(b *script) { b.drop(kindIs(history.KindRemain)) }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := clean()
			test.plant(b)
			found := b.check()
			require.NotEmpty(t, found)
			require.True(
				t,
				slices.ContainsFunc(found, func(v Violation) bool { return v.promise == test.promise }),
				fmt.Sprint(found),
			)
		})
	}
}

func TestWhatIsAllowedPasses(t *testing.T) {
	tests := map[string]func(*script){
		"a record vanishes while that is excused": func(b *script) {
			b.add(19, history.Event{Kind: history.KindExcuse, Took: 3 * time.Second})
			b.all(20)
			b.all(21, changed)
		},
		"a view is wrong while its process is excused": func(b *script) {
			b.add(19, history.Event{Kind: history.KindExcuse, Process: "consumer", Took: 3 * time.Second})
			b.view(20, "consumer")
			b.view(21, "consumer", changed)
		},
		"a view is wrong while its process is stopped": func(b *script) {
			b.add(19, history.Event{Kind: history.KindPause, Process: "consumer", Took: 3 * time.Second})
			b.view(20, "consumer")
			b.view(21, "consumer", changed)
		},
		"etcd can't be asked": func(b *script) {
			b.add(20, history.Event{Kind: history.KindTruth, Err: "unreachable", Before: b.begin.Add(20 * time.Second)})
			b.truth(22, changed)
		},
		"a call takes long because its process is stopped": func(b *script) {
			b.add(14, history.Event{Kind: history.KindPause, Process: "consumer", Took: 6 * time.Second})
			b.add(13, history.Event{
				Kind: history.KindView, Process: "consumer", Name: "unknown", Via: "call", Took: 8 * time.Second,
				Bound: 5 * time.Second,
			})
		},
		"another process takes the id over": func(b *script) {
			other := record.New("greeter", "1", "n1", "other", "5")
			b.add(11, history.Event{Kind: history.KindBegan, Process: "other"})
			b.call(12, "other", "register", other, "")
			b.all(12, other)
			b.call(20, "other", "deregister", other, "")
			b.all(20)
			b.all(20.5, changed)
			b.seen(12, "consumer", "update", other)
			b.seen(20.5, "consumer", "update", changed)
		},
	}
	for name, edit := range tests {
		t.Run(name, func(t *testing.T) {
			b := clean()
			edit(b)
			require.Empty(t, b.check())
		})
	}
}

func TestAPendingChangeMayLeaveTheOldRecord(t *testing.T) {
	b := clean()
	again := record.New("greeter", "1", "n1", "provider", "5")
	b.call(12, "provider", "register", again, "pending")
	b.call(20, "provider", "register", again, "")
	b.all(19, again)
	b.seen(19, "consumer", "update", again)
	require.Empty(t, b.check())
	b.truth(25, changed)
	b.truth(26, again)
	require.Equal(t, "P2", b.check()[0].promise, "once etcd has taken it, the old one may not come back")
}

func TestTheLongestGapIsFound(t *testing.T) {
	b := clean()
	require.Zero(t, LongestGap(b.events))
	b.truth(20)
	b.truth(22, changed)
	slices.SortStableFunc(b.events, func(x, y *history.Event) int { return x.At.Compare(y.At) })
	require.InDelta(t, 2, LongestGap(b.events).Seconds(), 0.1)
}

func TestIntervals(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	whole := interval{at(10), at(20)}
	tests := map[string]struct{ others, want []interval }{
		"nothing":      {nil, []interval{whole}},
		"elsewhere":    {[]interval{{at(0), at(10)}, {at(20), at(30)}}, []interval{whole}},
		"all":          {[]interval{{at(5), at(25)}}, nil},
		"the middle":   {[]interval{{at(12), at(15)}}, []interval{{at(10), at(12)}, {at(15), at(20)}}},
		"both ends":    {[]interval{{at(5), at(12)}, {at(18), at(25)}}, []interval{{at(12), at(18)}}},
		"all in parts": {[]interval{{at(5), at(12)}, {at(12), at(25)}}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { require.Equal(t, test.want, whole.minus(test.others)) })
	}
}
