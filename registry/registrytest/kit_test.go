package registrytest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
)

// quick gives a Backend in memory the times that it needs.
func quick(b Backend) Backend {
	b.TTL = 200 * time.Millisecond
	b.Patience = 300 * time.Millisecond
	b.CallTimeout = 100 * time.Millisecond
	b.CaseTimeout = 20 * time.Second
	return b
}

func testStore(t *testing.T) *refStore {
	store := newRefStore()
	t.Cleanup(func() { close(store.done) })
	return store
}

// The reference makes every promise, so that a case that fails on a mutant
// fails because of its mistake.
func TestReferencePassesEveryCase(t *testing.T) {
	b := quick(refBackend(testStore(t), nil))
	b.Patience = 5 * time.Second
	report := Check(t.Context(), b)
	for _, o := range report {
		require.Empty(t, o.Failures, "%s: %s", o.Case.Name, strings.Join(o.Failures, "\n"))
		require.Empty(t, o.Skipped, o.Case.Name)
	}
}

func TestEveryCaseBites(t *testing.T) {
	all := mutants()
	for _, c := range Cases() {
		mistake, ok := all[c.Name]
		delete(all, c.Name)
		t.Run(c.Name, func(t *testing.T) {
			require.True(t, ok, "no mutant shows that this case can fail")
			if !strings.HasSuffix(c.Name, "no-leak") { // which count goroutines
				t.Parallel()
			}
			o := Check(t.Context(), quick(refBackend(testStore(t), mistake)), c)[0]
			require.NotEmpty(t, o.Failures, "the mutant passes: %s", c.Rule)
			t.Log(strings.Join(o.Failures, "\n"))
		})
	}
	require.Empty(t, all, "mutants of cases that there are not")
}

// A call that never returns costs its case and no more.
func TestHangingRegistryIsAFailure(t *testing.T) {
	store := testStore(t)
	b := quick(refBackend(store, gets(func(*refProcess, string, ...registry.GetOption) ([]*registry.Service, error) {
		<-store.done
		return nil, errRefClosed
	})))
	b.CaseTimeout = 100 * time.Millisecond
	report := Check(t.Context(), b, caseNamed(t, "lookup/unknown"), caseNamed(t, "init/string"))
	require.Equal(t, []string{"lookup/unknown"}, report.Failed())
	require.Equal(t, []string{"init/string"}, report.Passed())
	require.Contains(t, report[0].Failures[0], "no end within 100ms")
}

func TestFailureToOpenIsAFailure(t *testing.T) {
	report := Check(t.Context(), Backend{}, caseNamed(t, "init/string"))
	require.Equal(t, []string{"init/string"}, report.Failed())
	require.Contains(t, report[0].Failures[0], errNoOpen.Error())
}

func TestEndedContextLeavesNothingPassed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	report := Check(ctx, quick(refBackend(testStore(t), nil)))
	require.Empty(t, report.Passed())
	require.Len(t, report.Failed(), len(Cases()))
}

func TestLackedPromisesAreSkippedWithTheReason(t *testing.T) {
	b := quick(refBackend(testStore(t), nil))
	b.Lacks = map[Capability]string{Ordered: "comes as it comes"}
	b.Kill = nil
	report := Check(t.Context(), b, caseNamed(t, "lookup/ordered"), caseNamed(t, "expiry/killed"))
	require.Equal(t, []string{"expiry/killed", "lookup/ordered"}, report.Skipped())
	require.Contains(t, report[0].Skipped, "comes as it comes")
	require.Contains(t, report[1].Skipped, "hook Kill")
}

func caseNamed(t *testing.T, name string) Case {
	t.Helper()
	for _, c := range Cases() {
		if c.Name == name {
			return c
		}
	}
	require.Fail(t, "no case "+name)
	return Case{}
}

func TestCasesAreNamedAndSaid(t *testing.T) {
	names := map[string]bool{}
	for _, c := range Cases() {
		require.Regexp(t, `^[a-z]+/[a-z-]+$`, c.Name)
		require.False(t, names[c.Name], "two cases are named %s", c.Name)
		names[c.Name] = true
		require.NotEmpty(t, c.Rule, c.Name)
		require.False(t, strings.HasSuffix(c.Rule, "."), "%s: a rule prints without a full stop", c.Name)
	}
}
