package catalog_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

var fixedSeed = flag.Uint64("seed", 0, "the seed of TestRandomOps; 0 takes another one each time")

// try takes the ops on a new model. A panic is an error like others.
func try(ops []op) (err error) {
	m := newModel()
	step := -1
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("step %d panics: %v\n%s", step, p, debug.Stack())
		}
	}()
	for i, o := range ops {
		step = i
		if err := m.take(o); err != nil {
			return fmt.Errorf("step %d, %s: %w", i, o, err)
		}
	}
	return m.finish()
}

// shrink drops ops, in ever smaller pieces, as long as what is left still fails.
func shrink(ops []op) []op {
	for size := len(ops) / 2; size > 0; {
		dropped := false
		for at := 0; at+size <= len(ops); {
			fewer := slices.Delete(slices.Clone(ops), at, at+size)
			if try(fewer) != nil {
				ops, dropped = fewer, true
			} else {
				at += size
			}
		}
		if !dropped || size > 1 {
			size /= 2
		}
	}
	return ops
}

func check(t *testing.T, ops []op) {
	t.Helper()
	if try(ops) == nil {
		return
	}
	ops = shrink(ops)
	var steps strings.Builder
	for i, o := range ops {
		fmt.Fprintf(&steps, "%d. %s\n", i, o)
	}
	t.Fatalf("%v\n%s", try(ops), steps.String())
}

func TestRandomOps(t *testing.T) {
	const runs, steps = 60, 50
	seed := *fixedSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("to repeat: -run TestRandomOps -seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range runs {
		data := make([]byte, steps*opSize)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		check(t, decode(data))
	}
}

func FuzzOps(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(bytes.Repeat([]byte{0}, 5*opSize))
	// Two records of one node, in two versions; the newer goes, then the older.
	f.Add([]byte{0x00, 0, 0, 255, 0x10, 1, 1, 255, 0x18, 0, 0, 0, 0x08, 0, 0, 0})
	// Three nodes with two profiles; the newest moves away and comes back as an old one.
	f.Add([]byte{0x00, 0, 0, 255, 0x10, 8, 0, 255, 0x20, 16, 1, 255, 0x20, 17, 1, 255, 0x20, 16, 1, 3})
	// A key goes over to another id and then another name, with a consumer in between.
	f.Add([]byte{0x00, 0, 0, 255, 0x00, 8, 1, 100, 0x0e, 0, 0, 0, 0x00, 136, 129, 255, 0x0c, 0, 0, 0, 0x0d, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		const most = 100 // steps, or an input takes too long
		check(t, decode(data[:min(len(data), most*opSize)]))
	})
}
