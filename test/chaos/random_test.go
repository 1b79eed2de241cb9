package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

const (
	// seedVariable reproduces one random run: CHAOS_SEED=... go test ./chaos -run TestRandom
	seedVariable = "CHAOS_SEED"
	// minutesVariable is how long random runs go on, in minutes.
	minutesVariable = "CHAOS_MINUTES"
	// randomRuns is how many there are otherwise.
	randomRuns = 10
	// parallelRuns is how many of them go on at the same time.
	parallelRuns = 4
)

func TestRandom(t *testing.T) {
	switch {
	case os.Getenv(seedVariable) != "":
		seed, err := strconv.ParseUint(os.Getenv(seedVariable), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		runSeed(t, seed)
	case os.Getenv(minutesVariable) != "":
		minutes, err := strconv.Atoi(os.Getenv(minutesVariable))
		if err != nil {
			t.Fatal(err)
		}
		soak(t, time.Duration(minutes)*time.Minute)
	case os.Getenv(modeVariable) != "":
		for range randomRuns {
			seed := rand.Uint64N(1_000_000)
			t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
				t.Parallel()
				runSeed(t, seed)
			})
		}
	default:
		t.Skip("these take minutes: use make chaos, or set " + modeVariable + "=ci")
	}
}

// soak runs random seeds for a time.
func soak(t *testing.T, d time.Duration) {
	t.Helper()
	deadline := time.Now().Add(d)
	for i := range parallelRuns {
		t.Run(fmt.Sprint("lane ", i), func(t *testing.T) {
			t.Parallel()
			for time.Now().Before(deadline) {
				seed := rand.Uint64N(1_000_000)
				t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { runSeed(t, seed) })
			}
		})
	}
}

func runSeed(t *testing.T, seed uint64) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("to run it again: CHAOS_SEED=%d go test -race -count=1 ./chaos -run TestRandom", seed)
		}
	}()
	newRandom(t, seed).run()
}
