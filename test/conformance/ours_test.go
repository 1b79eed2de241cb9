package conformance

import (
	"slices"
	"strings"
	"testing"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/registry/registrytest"
)

// oursLacks is what the registry of this module does not promise.
var oursLacks = map[registrytest.Capability]string{
	registrytest.FreeIDs: "keys are the official plugin's, where a/b and a-b share a directory: one node id there is one key",
}

// openOurs opens the registry of this module.
func openOurs(opts ...registry.Option) (registry.Registry, error) {
	return etcd.New(opts...)
}

func ours(s *Store, opts ...registry.Option) registrytest.Backend {
	b := s.Backend(func(more ...registry.Option) (registry.Registry, error) {
		return openOurs(append(more, opts...)...)
	})
	b.Lacks = oursLacks
	b.Patience, b.CaseTimeout = time.Minute, 5*time.Minute
	return b
}

func TestRegistry(t *testing.T) {
	registrytest.Run(t, ours(StartStore(t, 1)))
}

// A cluster's members lag behind each other, which is where reads of one's own writes and immediate re-registration go
// wrong.
func TestRegistryOnThreeMembers(t *testing.T) {
	check(t, ours(StartStore(t, 3)),
		"register/", "change/", "deregister/", "lookup/", "cache/", "owner/", "lossless/")
}

func TestRegistryUnderPrefix(t *testing.T) {
	b := ours(StartStore(t, 1), etcd.Prefix("/tenant/"))
	b.Vanish, b.Revoke, b.Corrupt = nil, nil, nil // which know the usual directory only
	check(t, b, "register/", "name/", "lookup/", "watch/")
}

// check fails on what the cases of some groups find.
func check(t *testing.T, b registrytest.Backend, groups ...string) {
	t.Helper()
	var cases []registrytest.Case
	for _, c := range registrytest.Cases() {
		if slices.ContainsFunc(groups, func(g string) bool { return strings.HasPrefix(c.Name, g) }) {
			cases = append(cases, c)
		}
	}
	for _, o := range registrytest.Check(t.Context(), b, cases...) {
		if o.Skipped != "" {
			t.Logf("%s skipped: %s", o.Case.Name, o.Skipped)
		}
		if len(o.Failures) > 0 {
			t.Errorf("%s: rule: %s\n%s", o.Case.Name, o.Case.Rule, strings.Join(o.Failures, "\n"))
		}
	}
}
