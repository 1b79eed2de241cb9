package registrytest_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest"
)

// hanging never answers a lookup.
type hanging struct {
	registry.Registry
	done chan struct{}
}

func (h hanging) GetService(string, ...registry.GetOption) ([]*registry.Service, error) {
	<-h.done
	return nil, registry.ErrNotFound
}

// A call that never returns costs its case and no more.
func TestHangingRegistryIsAFailure(t *testing.T) {
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	report := registrytest.Check(t.Context(), registrytest.Backend{
		Open: func(opts ...registry.Option) (registry.Registry, error) {
			return hanging{registry.NewMemoryRegistry(opts...), done}, nil
		},
		CaseTimeout: 100 * time.Millisecond,
	}, caseNamed(t, "lookup/unknown"), caseNamed(t, "init/string"))
	require.Equal(t, []string{"lookup/unknown"}, report.Failed())
	require.Equal(t, []string{"init/string"}, report.Passed())
	require.Contains(t, report[0].Failures[0], "no end within 100ms")
}

func TestFailureToOpenIsAFailure(t *testing.T) {
	report := registrytest.Check(t.Context(), registrytest.Backend{}, caseNamed(t, "init/string"))
	require.Equal(t, []string{"init/string"}, report.Failed())
	require.Contains(t, report[0].Failures[0], "the Backend has no Open")
}

func TestEndedContextLeavesNothingPassed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	report := registrytest.Check(ctx, allHooks())
	require.Empty(t, report.Passed())
	require.Len(t, report.Failed(), len(registrytest.Cases()))
}

func TestLackedPromisesAreSkippedWithTheReason(t *testing.T) {
	b := allHooks()
	b.Lacks = map[registrytest.Capability]string{registrytest.Ordered: "comes as it comes"}
	b.Kill = nil
	report := registrytest.Check(t.Context(), b, caseNamed(t, "lookup/ordered"), caseNamed(t, "expiry/killed"))
	require.Equal(t, []string{"expiry/killed", "lookup/ordered"}, report.Skipped())
	require.Contains(t, report[0].Skipped, "comes as it comes")
	require.Contains(t, report[1].Skipped, "hook Kill")
}

// allHooks has every hook. No case gets as far as to call one.
func allHooks() registrytest.Backend {
	lose := func(string, string) error { return nil }
	return registrytest.Backend{
		Kill:    func(registry.Registry) error { return nil },
		Cut:     func(registry.Registry) (func(), error) { return func() {}, nil },
		Vanish:  lose,
		Revoke:  lose,
		Corrupt: func(string) error { return nil },
		Drain:   func(string, string) (func() error, error) { return func() error { return nil }, nil },
	}
}

func caseNamed(t *testing.T, name string) registrytest.Case {
	t.Helper()
	for _, c := range registrytest.Cases() {
		if c.Name == name {
			return c
		}
	}
	require.Fail(t, "no case "+name)
	return registrytest.Case{}
}
