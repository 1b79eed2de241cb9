package cases

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
)

func testStore(t *testing.T) *refStore {
	t.Helper()
	store := newRefStore()
	t.Cleanup(func() { close(store.done) })
	return store
}

// The reference makes every promise, so that a case that fails on a mutant fails because of its mistake.
func TestReferencePassesEveryCase(t *testing.T) {
	b := refBackend(testStore(t), nil)
	b.Patience = 5 * time.Second
	for _, c := range All() {
		t.Run(c.Name, func(t *testing.T) {
			if c.Waits {
				t.Parallel()
			}
			require.Empty(t, strings.Join(harness.Judge(t.Context(), b, c.Name, c.Body), "\n"))
		})
	}
}

func TestEveryCaseBites(t *testing.T) {
	all := mutants()
	for _, c := range All() {
		mistake, ok := all[c.Name]
		delete(all, c.Name)
		t.Run(c.Name, func(t *testing.T) {
			require.True(t, ok, "no mutant shows that this case can fail")
			if !strings.HasSuffix(c.Name, "no-leak") { // which count goroutines
				t.Parallel()
			}
			failures := harness.Judge(t.Context(), refBackend(testStore(t), mistake), c.Name, c.Body)
			require.NotEmpty(t, failures, "the mutant passes: %s", c.Rule)
			t.Log(strings.Join(failures, "\n"))
		})
	}
	require.Empty(t, all, "mutants of cases that there are not")
}

func TestCasesAreNamedAndSaid(t *testing.T) {
	names := map[string]bool{}
	for _, c := range All() {
		require.Regexp(t, `^[a-z]+/[a-z-]+$`, c.Name)
		require.False(t, names[c.Name], "two cases are named %s", c.Name)
		names[c.Name] = true
		require.NotEmpty(t, c.Rule, c.Name)
		require.False(t, strings.HasSuffix(c.Rule, "."), "%s: a rule prints without a full stop", c.Name)
	}
}
