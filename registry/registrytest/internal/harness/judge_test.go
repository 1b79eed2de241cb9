package harness

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func judge(t *testing.T, body func(*Env)) []string {
	t.Helper()
	return Judge(t.Context(), Backend{CaseTimeout: time.Minute}, "group/rule", body)
}

func TestFatalfEndsTheGoroutineThatCallsIt(t *testing.T) {
	failures := judge(t, func(e *Env) {
		e.Each(2, func(i int) {
			e.Fatalf("goroutine %d", i)
			e.Failf("goroutine %d goes on", i)
		})
		e.Failf("the case goes on")
	})
	require.ElementsMatch(t, []string{"goroutine 0", "goroutine 1", "the case goes on"}, failures)
}

func TestPanicIsAFailure(t *testing.T) {
	failures := judge(t, func(e *Env) {
		e.Cleanup(func() { panic("in the cleanup") })
		e.Each(1, func(int) { panic("in a goroutine") })
		panic("in the case")
	})
	require.Len(t, failures, 3)
	require.Contains(t, failures[0], "panic: in a goroutine")
	require.Contains(t, failures[1], "panic: in the case")
	require.Contains(t, failures[2], "panic: in the cleanup")
}

func TestCleanupsRunLastFirstAndFailNothing(t *testing.T) {
	var order []int
	failures := judge(t, func(e *Env) {
		for i := range 3 {
			e.Cleanup(func() {
				order = append(order, i)
				e.Failf("while cleaning up")
			})
		}
	})
	require.Empty(t, failures)
	require.Equal(t, []int{2, 1, 0}, order)
}
