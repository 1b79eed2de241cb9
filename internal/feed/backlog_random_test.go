package feed

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

var fixedSeed = flag.Uint64("seed", 0, "the seed of random tests; 0 takes another one each time")

// randomStream is a feed whose changes go to consumers that have looked at different times.
type randomStream struct {
	*stream
	random    *rand.Rand
	merges    bool
	consumers []consumer
	steps     []string
}

func (f *randomStream) step() {
	pick := func(of ...string) string { return of[f.random.IntN(len(of))] }
	name, id := pick("a", "b"), pick("1", "2", "3", "4")
	switch n := f.random.IntN(20); {
	case n < 9:
		spec, color := name+"@"+pick("v1", "v2")+"/"+id, pick("red", "green", "blue")
		f.note("put", spec, color)
		r := rec(spec, f.revision+1, color)
		r.Key += pick("", "", "", "#") // another key of the same node
		f.revision++
		f.push(f.catalog.Put(r))
	case n < 14:
		key := name + "/" + id + pick("", "", "#")
		f.note("delete", key)
		f.delete(key)
	case n < 15:
		f.note("look")
		f.consumers = append(f.consumers, f.look())
	case n < 17:
		f.pop(1 + f.random.IntN(3))
	case n < 18 && f.merges: // as a view's history goes to a watcher
		f.note("hand over")
		f.compact()
		items := f.backlog.items
		f.backlog = backlog{}
		for _, e := range items {
			f.push([]catalog.Change{e.change})
		}
	case f.merges:
		f.note("merge")
		f.compact()
	}
}

func (f *randomStream) note(step ...any) { f.steps = append(f.steps, fmt.Sprintln(step...)) }

// pop gives up to n changes to every consumer.
func (f *randomStream) pop(n int) {
	f.note("pop", n)
	for range n {
		c, ok := f.backlog.pop()
		if !ok {
			return
		}
		for _, consumer := range f.consumers {
			consumer.fold(c)
		}
	}
}

func (f *randomStream) check(t *testing.T) {
	t.Helper()
	f.pop(len(f.backlog.items))
	want := newConsumer(f.catalog.Snapshots()).lines()
	for i, c := range f.consumers {
		if got := c.lines(); !slices.Equal(got, want) {
			t.Fatalf("consumer %d has\n%s\nwant\n%s\nafter\n%s",
				i, strings.Join(got, "\n"), strings.Join(want, "\n"), strings.Join(f.steps, ""))
		}
	}
}

// Whoever folds what comes out of a backlog over what a lookup showed, whenever that was since the backlog began,
// arrives at the catalog, however often and whenever it was merged.
func TestFoldingABacklogOverALookupGivesTheCatalog(t *testing.T) {
	seed := *fixedSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("to repeat: -seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for run := range 500 {
		f := &randomStream{stream: newStream(), random: random, merges: run%5 > 0}
		f.consumers = []consumer{f.look()}
		for range 1 + random.IntN(60) {
			f.step()
		}
		f.check(t)
		for range random.IntN(20) {
			f.step()
		}
		f.check(t)
	}
}
