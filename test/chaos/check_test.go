package chaos

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
)

// tale writes histories by hand, at seconds since a beginning.
type tale struct {
	begin  time.Time
	events []*event
	looked map[string]float64 // when truth, or a view, was last looked at
}

func newTale() *tale {
	return &tale{begin: time.Unix(1_000_000, 0), looked: map[string]float64{}}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (l *tale) add(at float64, e event) {
	e.At = l.begin.Add(seconds(at))
	l.events = append(l.events, &e)
}

func (l *tale) call(at float64, process, op string, s *registry.Service, err string) {
	l.add(at, event{Kind: kindCall, Process: process, Op: op, Service: s, TTL: 5 * time.Second, Err: err, Bound: 5 * time.Second})
}

// truth says what etcd holds from a time on.
func (l *tale) truth(at float64, records ...*registry.Service) {
	e := event{Kind: kindTruth, Records: map[string]string{}, Before: l.begin.Add(seconds(at - 0.02))}
	for _, s := range records {
		e.Records[keyOf(s)] = canonical(s)
	}
	l.add(at, e)
}

// view says what a lookup says from a time on.
func (l *tale) view(at float64, process string, services ...*registry.Service) {
	for _, via := range []string{"registry", "cache"} {
		l.add(at, event{
			Kind: kindView, Process: process, Name: "greeter", Via: via, Services: services,
			Before: l.begin.Add(seconds(at - 0.02)), Bound: 5 * time.Second,
		})
	}
}

func (l *tale) seen(at float64, process, action string, s *registry.Service) {
	l.add(at, event{Kind: kindSeen, Process: process, Watcher: 1, Action: action, Service: s})
}

// all is what etcd, the consumer's lookups and its watcher all say from a time on.
func (l *tale) all(at float64, records ...*registry.Service) {
	l.truth(at, records...)
	l.view(at, "consumer", records...)
}

func (l *tale) check() []violation {
	slices.SortStableFunc(l.events, func(a, b *event) int { return a.At.Compare(b.At) })
	return check(l.events)
}

// edit changes the events that match.
func (l *tale) edit(match func(*event) bool, change func(*event)) {
	n := 0
	for i := range l.events {
		if match(l.events[i]) {
			change(l.events[i])
			n++
		}
	}
	if n == 0 {
		panic("nothing to edit")
	}
}

func (l *tale) drop(match func(*event) bool) {
	n := len(l.events)
	if l.events = slices.DeleteFunc(l.events, match); len(l.events) == n {
		panic("nothing to drop")
	}
}

var (
	n1      = record("greeter", "1", "n1", "provider", "1")
	n2      = record("greeter", "1", "n2", "killed", "2")
	n3      = record("greeter", "1", "n3", "provider", "3")
	changed = record("greeter", "1", "n1", "provider", "4")
)

// clean is a history without fault: a provider registers n1 and n3, changes n1 and deregisters n3; another one
// registers n2 and is killed; a consumer sees it all; and everybody closes.
func clean() *tale {
	l := newTale()
	for _, p := range []string{"provider", "killed", "consumer"} {
		l.add(0, event{Kind: kindBegan, Process: p})
	}
	l.truth(0)
	l.view(0.1, "consumer")
	l.add(0.2, event{Kind: kindWatching, Process: "consumer", Watcher: 1, Name: "greeter"})
	l.call(1, "provider", "register", n1, "")
	l.call(1, "killed", "register", n2, "")
	l.call(1, "provider", "register", n3, "")
	l.all(1, n1, n2, n3)
	l.seen(1, "consumer", "create", n1)
	l.seen(1, "consumer", "create", n2)
	l.seen(1, "consumer", "create", n3)
	l.add(5, event{Kind: kindKilled, Process: "killed"})
	l.call(6, "provider", "deregister", n3, "")
	l.all(6, n1, n2)
	l.seen(6, "consumer", "delete", n3)
	l.call(7, "provider", "register", changed, "")
	l.all(7, changed, n2)
	l.seen(7, "consumer", "update", changed)
	l.all(10, changed)
	l.seen(10, "consumer", "delete", n2)
	l.add(30, event{Kind: kindQuiet})
	for _, p := range []string{"provider", "consumer"} {
		l.add(31, event{Kind: kindClosed, Process: p})
		l.add(31.1, event{Kind: kindCall, Process: p, Op: "close", Bound: 5 * time.Second})
		l.add(31.2, event{Kind: kindLeft, Process: p})
	}
	l.truth(31.1)
	l.add(32, event{Kind: kindRemain})
	l.add(33, event{Kind: kindTruth, Err: "nobody looks any more", Before: l.begin.Add(33 * time.Second)})
	return l
}

func TestACleanHistoryPasses(t *testing.T) { require.Empty(t, clean().check()) }

func TestPlantedViolationsAreCaught(t *testing.T) {
	kindIs := func(k kind) func(*event) bool { return func(e *event) bool { return e.Kind == k } }
	at := func(l *tale, s float64) time.Time { return l.begin.Add(seconds(s)) }
	tests := map[string]struct {
		promise string
		plant   func(*tale)
	}{
		"a record vanishes from etcd for a second": {"P2", func(l *tale) { l.truth(20, n2); l.truth(21, changed) }},
		"a record never comes": {"P2", func(l *tale) {
			l.edit(func(e *event) bool { return e.Kind == kindTruth && len(e.Records) == 3 }, func(e *event) { delete(e.Records, "greeter/n1") })
		}},
		"a record is somebody else's": {"P2", func(l *tale) {
			l.truth(20, record("greeter", "1", "n1", "killed", "9"))
			l.truth(22, changed)
		}},
		"a record goes back to an older one": {"P2", func(l *tale) { l.truth(20, n1); l.truth(22, changed) }},
		"a record vanishes later than excused": {"P2", func(l *tale) {
			l.add(18, event{Kind: kindExcuse, Took: 3 * time.Second})
			l.truth(20)
			l.truth(22, changed)
		}},
		"a record vanishes from a view": {"P2", func(l *tale) { l.view(20, "consumer"); l.view(21, "consumer", changed) }},
		"a watcher hears that a living record has gone": {"P2", func(l *tale) {
			l.seen(20, "consumer", "delete", changed)
			l.seen(20.01, "consumer", "create", changed)
		}},
		"a view never shows a record": {"P2", func(l *tale) {
			l.edit(func(e *event) bool { return e.Kind == kindView && len(e.Services) == 3 }, func(e *event) { e.Services = e.Services[1:] })
			l.edit(func(e *event) bool { return e.Kind == kindView && len(e.Services) == 2 && e.At.Equal(at(l, 6)) }, func(e *event) { e.Services = e.Services[1:] })
		}},
		"a killed process's record stays in etcd": {"P3", func(l *tale) {
			l.edit(func(e *event) bool { return e.Kind == kindTruth && e.At.Equal(at(l, 10)) }, func(e *event) { e.Records[keyOf(n2)] = canonical(n2) })
		}},
		"a deregistered record stays in etcd": {"P3", func(l *tale) {
			l.edit(func(e *event) bool { return e.Kind == kindTruth && e.At.Equal(at(l, 6)) }, func(e *event) { e.Records[keyOf(n3)] = canonical(n3) })
		}},
		"a deregistered record comes back": {"P3", func(l *tale) { l.truth(20, changed, n3); l.truth(21, changed) }},
		"a killed process's record stays in a view": {"P3", func(l *tale) {
			l.edit(func(e *event) bool { return e.Kind == kindView && e.At.Equal(at(l, 10)) }, func(e *event) { e.Services = append(e.Services, n2) })
		}},
		"a watcher misses a delete": {"P4", func(l *tale) { l.drop(func(e *event) bool { return e.Action == "delete" && e.Service == n2 }) }},
		"a watcher misses a create": {"P4", func(l *tale) {
			l.drop(func(e *event) bool { return e.Action == "create" && e.Service == n1 })
			l.drop(func(e *event) bool { return e.Action == "update" })
		}},
		"a watcher misses an update": {"P4", func(l *tale) { l.drop(func(e *event) bool { return e.Action == "update" }) }},
		"a delete has another version": {"P4", func(l *tale) {
			l.edit(func(e *event) bool { return e.Action == "delete" && e.Service == n2 }, func(e *event) { e.Service = record("greeter", "2", "n2", "killed", "2") })
		}},
		"a lookup differs at the end": {"P4", func(l *tale) { l.view(29, "consumer", changed, n3) }},
		"a view goes back in time":    {"P4", func(l *tale) { l.view(20, "consumer", n1); l.view(20.05, "consumer", changed) }},
		"a watcher goes back in time": {"P4", func(l *tale) { l.seen(20, "consumer", "update", n1); l.seen(20.1, "consumer", "update", changed) }},
		"a watcher fails": {"P4", func(l *tale) {
			l.add(20, event{Kind: kindStopped, Process: "consumer", Watcher: 1, Err: "compacted"})
		}},
		"nobody compares at the end": {"P4", func(l *tale) { l.drop(kindIs(kindQuiet)) }},
		"a lookup fails": {"P5", func(l *tale) {
			l.add(20, event{Kind: kindView, Process: "consumer", Name: "greeter", Via: "registry", Services: []*registry.Service{changed}, Err: "deadline exceeded", Before: at(l, 20)})
		}},
		"a call takes too long": {"P6", func(l *tale) {
			l.edit(func(e *event) bool { return e.Op == "deregister" }, func(e *event) { e.Took = 7 * time.Second; e.At = at(l, -1) })
		}},
		"a lookup takes too long": {"P6", func(l *tale) {
			l.add(12, event{Kind: kindView, Process: "consumer", Name: "unknown", Via: "call", Took: 7 * time.Second, Bound: 5 * time.Second})
		}},
		"goroutines are left": {"P6", func(l *tale) { l.edit(kindIs(kindLeft), func(e *event) { e.Text = "goroutine 7" }) }},
		"nobody asks for goroutines": {"P6", func(l *tale) {
			l.drop(func(e *event) bool { return e.Kind == kindLeft && e.Process == "provider" })
		}},
		"a lease is left":        {"P6", func(l *tale) { l.edit(kindIs(kindRemain), func(e *event) { e.Text = "1 lease" }) }},
		"nobody asks for leases": {"P6", func(l *tale) { l.drop(kindIs(kindRemain)) }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := clean()
			test.plant(l)
			found := l.check()
			require.NotEmpty(t, found)
			require.True(t, slices.ContainsFunc(found, func(v violation) bool { return v.promise == test.promise }), fmt.Sprint(found))
		})
	}
}

func TestWhatIsAllowedPasses(t *testing.T) {
	tests := map[string]func(*tale){
		"a record vanishes while that is excused": func(l *tale) {
			l.add(19, event{Kind: kindExcuse, Took: 3 * time.Second})
			l.all(20)
			l.all(21, changed)
		},
		"a view is wrong while its process is excused": func(l *tale) {
			l.add(19, event{Kind: kindExcuse, Process: "consumer", Took: 3 * time.Second})
			l.view(20, "consumer")
			l.view(21, "consumer", changed)
		},
		"a view is wrong while its process is stopped": func(l *tale) {
			l.add(19, event{Kind: kindPause, Process: "consumer", Took: 3 * time.Second})
			l.view(20, "consumer")
			l.view(21, "consumer", changed)
		},
		"etcd can't be asked": func(l *tale) {
			l.add(20, event{Kind: kindTruth, Err: "unreachable", Before: l.begin.Add(20 * time.Second)})
			l.truth(22, changed)
		},
		"a call takes long because its process is stopped": func(l *tale) {
			l.add(14, event{Kind: kindPause, Process: "consumer", Took: 6 * time.Second})
			l.add(13, event{Kind: kindView, Process: "consumer", Name: "unknown", Via: "call", Took: 8 * time.Second, Bound: 5 * time.Second})
		},
		"another process takes the id over": func(l *tale) {
			other := record("greeter", "1", "n1", "other", "5")
			l.add(11, event{Kind: kindBegan, Process: "other"})
			l.call(12, "other", "register", other, "")
			l.all(12, other)
			l.call(20, "other", "deregister", other, "")
			l.all(20)
			l.all(20.5, changed)
			l.seen(12, "consumer", "update", other)
			l.seen(20.5, "consumer", "update", changed)
		},
	}
	for name, edit := range tests {
		t.Run(name, func(t *testing.T) {
			l := clean()
			edit(l)
			require.Empty(t, l.check())
		})
	}
}

func TestAPendingChangeMayLeaveTheOldRecord(t *testing.T) {
	l := clean()
	again := record("greeter", "1", "n1", "provider", "5")
	l.call(12, "provider", "register", again, "pending")
	l.call(20, "provider", "register", again, "")
	l.all(19, again)
	l.seen(19, "consumer", "update", again)
	require.Empty(t, l.check())
	l.truth(25, changed)
	l.truth(26, again)
	require.Equal(t, "P2", l.check()[0].promise, "once etcd has taken it, the old one may not come back")
}

func TestTheLongestGapIsFound(t *testing.T) {
	l := clean()
	require.Zero(t, longestGap(l.events))
	l.truth(20)
	l.truth(22, changed)
	slices.SortStableFunc(l.events, func(a, b *event) int { return a.At.Compare(b.At) })
	require.InDelta(t, 2, longestGap(l.events).Seconds(), 0.1)
}

func TestSpans(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	whole := span{at(10), at(20)}
	tests := map[string]struct{ others, want []span }{
		"nothing":      {nil, []span{whole}},
		"elsewhere":    {[]span{{at(0), at(10)}, {at(20), at(30)}}, []span{whole}},
		"all":          {[]span{{at(5), at(25)}}, nil},
		"the middle":   {[]span{{at(12), at(15)}}, []span{{at(10), at(12)}, {at(15), at(20)}}},
		"both ends":    {[]span{{at(5), at(12)}, {at(18), at(25)}}, []span{{at(12), at(18)}}},
		"all in parts": {[]span{{at(5), at(12)}, {at(12), at(25)}}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { require.Equal(t, test.want, whole.minus(test.others)) })
	}
}
