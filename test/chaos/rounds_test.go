package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/micro-etcd/micro-etcd/test/chaos/cluster"
	"github.com/micro-etcd/micro-etcd/test/chaos/rounds"
)

const (
	// roundsVariable is how many rounds are run.
	roundsVariable = "CHAOS_ROUNDS"
	// roundVariable is the number of the first one.
	roundVariable = "CHAOS_ROUND"
	// lanesVariable is how many are run at the same time.
	lanesVariable = "CHAOS_LANES"
	lanes         = 6

	// roundLimit is how long a round may take. None does: it is for one that hangs.
	roundLimit = 2 * time.Minute

	// roundsFile is where the table is kept, beside being printed.
	roundsFile = cluster.Binaries + "/rounds.txt"
)

// TestRounds holds what is promised while a majority of members is in reach: no record is missing for a moment, and
// calls end within two seconds.
func TestRounds(t *testing.T) {
	number := func(variable string, otherwise uint64) uint64 {
		text := os.Getenv(variable)
		if text == "" {
			return otherwise
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	total := int(number(roundsVariable, 0))
	if total == 0 {
		t.Skip("these take minutes: use make rounds, or set " + roundsVariable)
	}
	seed, first := number(seedVariable, rand.Uint64N(1_000_000)), int(number(roundVariable, 0))
	numbers := make(chan int, total)
	for i := range total {
		numbers <- first + i
	}
	close(numbers)
	var results rounds.Summary
	t.Run("lanes", func(t *testing.T) {
		for i := range min(total, int(number(lanesVariable, lanes))) {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				runRounds(t, seed, numbers, &results)
			})
		}
	})
	var text strings.Builder
	if err := results.Write(&text, seed); err != nil {
		t.Fatal(err)
	}
	fmt.Print("\n" + text.String())
	if err := os.WriteFile(roundsFile, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// runRounds runs one round after the other on one cluster, which is replaced when a round can't be run on it.
func runRounds(t *testing.T, seed uint64, numbers <-chan int, summary *rounds.Summary) {
	t.Helper()
	var c *rounds.RelayedCluster
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	for n := range numbers {
		if c == nil {
			var err error
			if c, err = rounds.Open(t.Context(), t.TempDir()); err != nil {
				t.Fatal(err)
			}
		}
		r := rounds.Draw(seed, n)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), roundLimit)
		v, err := c.Run(ctx, r)
		cancel()
		if err != nil {
			t.Errorf("%v: the round itself failed: %v\n%s", r, err, c.Log())
			c.Close()
			c = nil
			continue
		}
		broken, took := summary.Add(v), time.Since(began).Round(time.Second)
		if len(broken) == 0 {
			t.Logf("%v: ok, %v", r, took)
			continue
		}
		t.Errorf("%v: %v, log in %s; again: make rounds SEED=%d ROUNDS=1 FIRST=%d\n  %s",
			r, took, keepLog(t, v), seed, n, strings.Join(broken, "\n  "))
	}
}

func keepLog(t *testing.T, v rounds.Result) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "round-") //nolint:usetesting // the log stays
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fmt.Sprintf("%d.log", v.Round.Number))
	if err := os.WriteFile(path, []byte(v.Log), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
