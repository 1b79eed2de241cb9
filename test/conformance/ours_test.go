package conformance

import (
	"os"
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
	b.Lacks, b.Drain = oursLacks, s.drain
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

// Every promise holds far from etcd, too, and with one member of three that says nothing.
func TestRegistryOnABadNetwork(t *testing.T) {
	if os.Getenv("CHAOS") == "" {
		t.Skip("this takes minutes: use make chaos, or set CHAOS=ci")
	}
	for name, flaw := range map[string]func(ways){
		"round trip of 200 ms": slow(200 * time.Millisecond),
		"silent member":        silence,
	} {
		t.Run(name, func(t *testing.T) {
			s := StartStore(t, 3)
			s.flaw = flaw
			b := ours(s)
			b.CallTimeout = 5 * time.Second
			check(t, b)
		})
	}
}

func TestRegistryUnderPrefix(t *testing.T) {
	b := ours(StartStore(t, 1), etcd.Prefix("/tenant/"))
	b.Vanish, b.Revoke, b.Corrupt, b.Drain = nil, nil, nil, nil // which know the usual directory only
	check(t, b, "register/", "name/", "lookup/", "watch/")
}

// check fails on what the cases of some groups find, or all of them.
func check(t *testing.T, b registrytest.Backend, groups ...string) {
	t.Helper()
	for _, c := range registrytest.Cases() {
		if len(groups) > 0 && !slices.ContainsFunc(groups, func(g string) bool { return strings.HasPrefix(c.Name, g) }) {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			if !strings.HasSuffix(c.Name, "/no-leak") { // which count goroutines
				t.Parallel()
			}
			o := registrytest.Check(t.Context(), b, c)[0]
			if o.Skipped != "" {
				t.Skip(o.Skipped)
			}
			if len(o.Failures) > 0 {
				t.Errorf("rule: %s\n%s", o.Case.Rule, strings.Join(o.Failures, "\n"))
			}
		})
	}
}
