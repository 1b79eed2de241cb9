package official

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	official "github.com/go-micro/plugins/v4/registry/etcd"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest"
	"github.com/micro-etcd/micro-etcd/test/conformance"
)

// officialLacks is what must not be tried on the official plugin: it would fail this build rather than the plugin.
var officialLacks = map[registrytest.Capability]string{
	registrytest.InitWhileUsed:  "Init replaces the client unguarded, and the race detector fails the test that runs",
	registrytest.ConcurrentStop: "W:84: two Stops at once may close one channel twice, which the race detector reports",
	registrytest.Closer:         "it cannot be closed",
}

// officialFailures are the rules that the official plugin v1.2.0 breaks, each with its cause: P is a line of its
// etcd.go, W one of its watcher.go.
var officialFailures = map[string]string{
	"init/no-leak": "P:153: every Init leaves the old client behind",

	"register/ttl-zero":       "P:270: logs the id of a lease that there is not",
	"register/ttl-fraction":   "P:264: cuts the TTL to whole seconds, so a node may expire before its TTL",
	"name/alike":              "P:143: a/b and a-b share keys and lookups",
	"name/same-ids":           "P:143: a/b and a-b share keys and lookups",
	"name/list-alike":         "P:397: merges by name and version joined, so x1 at 2 is x at 12",
	"name/node-id-slash":      "P:143: ids x/y and x-y share a key",
	"name/odd-node-ids":       "P:143: path.Join cleans the id away",
	"refuse/nil-service":      "P:320: a nil Service panics",
	"refuse/nil-node":         "P:179: a nil node panics",
	"refuse/no-name":          "P:143: the key leaves the layout",
	"refuse/no-node-id":       "P:143: the key is that of the service",
	"refuse/whole-or-nothing": "P:179: a nil node panics, with the nodes before it registered",
	"refuse/deregister":       "P:294: a nil Service panics",

	"change/service-metadata": "P:229: only the node is compared",
	"change/endpoints":        "P:229: only the node is compared",
	"change/version":          "P:229: only the node is compared",
	"change/ttl":              "P:229: only the node is compared",
	"lookup/no-name":          "P:143: the empty name is everything",
	"lookup/ordered":          "P:370: versions come in map order",
	"context/register":        "contexts are ignored",
	"context/deregister":      "contexts are ignored",
	"context/lookup":          "contexts are ignored",
	"context/list":            "contexts are ignored",

	"watch/changes":                "P:229: only the node is compared",
	"watch/version-move":           "P:229: only the node is compared",
	"watch/one-service":            "P:143: a-b also gets a/b",
	"watch/since-lookup":           "W:40: a watcher starts at no revision",
	"watch/since-first-lookup":     "W:40: a watcher starts at no revision",
	"watch/since-lookup-elsewhere": "W:40: a watcher starts at no revision",
	"watch/stopped-error":          "W:84: Next after Stop says could not get next",
	"watch/context":                "W:29: WatchContext is ignored",

	"lossless/version-fields": "P:354: the lowest key speaks for a version, where events say who spoke last",
	"lossless/model":          "P:229: only the node is compared",
	"cache/converges":         "W:40: a watcher starts at no revision",
	"cache/last-node":         "W:40: a watcher starts at no revision",
	"cache/version-move":      "P:229: only the node is compared",

	"owner/restart":          "P:179: adopts the old lease and record",
	"owner/late-deregister":  "P:310: deletes whatever is there",
	"expiry/self-renewing":   "by design: only Register renews",
	"heal/vanished-register": "P:240: unchanged while the lease lives",
	"heal/vanished-alone":    "P:240: waits for the next Register, which then finds it unchanged",
	"heal/revoked-alone":     "waits for the next Register",

	"corrupt/lookup":   "P:132: errors of JSON are swallowed, and nil nodes kept",
	"corrupt/list":     "P:132: errors of JSON are swallowed, and nil nodes kept",
	"corrupt/watch":    "P:132: errors of JSON are swallowed, and nil nodes kept",
	"corrupt/register": "P:132: errors of JSON are swallowed, and nil nodes kept",

	"outage/register-many":      "P:327: one Timeout for each node",
	"outage/heartbeat":          "P:217: renews the lease under no deadline",
	"outage/watch":              "W:40: Watch waits for etcd under no deadline",
	"outage/last-view":          "by design: every lookup asks etcd",
	"outage/register-completes": "waits for the next Register",
}

// officialBatches are cases in which events are lost (W:54: of a batch only the first event is delivered) if etcd
// happens to send them in batches, which it does when it is busy enough. Each of them may have luck, but not all.
var officialBatches = []string{"lossless/burst", "lossless/slow-consumer", "outage/watch-resumes"}

// officialChances are cases that its known faults hit now and then, when etcd is busy enough.
var officialChances = map[string]string{
	"concurrent/use": "W:69: an event without a previous value panics; P:179: an old read keeps a node from being registered again",
}

// known returns the cases that the plugin may pass, which would suffer from others beside them, and those that it
// fails. Most of the latter wait for what never comes. Those that count goroutines have to be alone.
func known() (alone, together []registrytest.Case) {
	for _, c := range registrytest.Cases() {
		if _, fails := officialFailures[c.Name]; fails && !strings.HasSuffix(c.Name, "/no-leak") {
			together = append(together, c)
		} else {
			alone = append(alone, c)
		}
	}
	return alone, together
}

func checkTogether(t *testing.T, b registrytest.Backend, cases []registrytest.Case) registrytest.Report {
	t.Helper()
	report := make(registrytest.Report, len(cases))
	slots := make(chan struct{}, 4)
	var checks sync.WaitGroup
	for i, c := range cases {
		checks.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			report[i] = registrytest.Check(t.Context(), b, c)[0]
		})
	}
	checks.Wait()
	return report
}

// The official plugin has to fail exactly what it is known to fail: a rule that it passes unexpectedly is one that the
// kit no longer proves.
func TestOfficialPluginFailsAsKnown(t *testing.T) {
	b := conformance.StartStore(t, 1).Backend(func(opts ...registry.Option) (registry.Registry, error) {
		return official.NewRegistry(opts...), nil
	})
	b.Kill = func(registry.Registry) error { return nil } // it renews only in Register
	b.Lacks = officialLacks
	b.Patience = 3 * time.Second
	alone, together := known()
	report := registrytest.Check(t.Context(), b, alone...)
	batches := 0
	for _, o := range append(report, checkTogether(t, b, together)...) {
		if slices.Contains(officialBatches, o.Case.Name) {
			batches += min(len(o.Failures), 1)
			continue
		}
		if why, ok := officialChances[o.Case.Name]; ok {
			t.Logf("%s may fail (%s): %d failures", o.Case.Name, why, len(o.Failures))
			continue
		}
		why, listed := officialFailures[o.Case.Name]
		switch failed := len(o.Failures) > 0; {
		case failed && !listed:
			t.Errorf("%s fails, which is not listed: %s\n%s", o.Case.Name, o.Case.Rule, strings.Join(o.Failures, "\n"))
		case listed && o.Skipped != "":
			t.Errorf("%s is listed as a failure (%s) but was skipped: %s", o.Case.Name, why, o.Skipped)
		case listed && !failed:
			t.Errorf("%s passes, but is listed as a failure: %s", o.Case.Name, why)
		case o.Skipped != "":
			t.Logf("%s skipped: %s", o.Case.Name, o.Skipped)
		case failed:
			t.Logf("%s fails as known: %s", o.Case.Name, why)
		}
	}
	if batches == 0 {
		t.Errorf("none of %v fails, so no case shows that events of a batch are lost", officialBatches)
	}
}

func TestOfficialFailuresNameCases(t *testing.T) {
	cases := registrytest.Cases()
	for _, name := range slices.Concat(
		officialBatches, slices.Collect(maps.Keys(officialFailures)), slices.Collect(maps.Keys(officialChances)),
	) {
		if !slices.ContainsFunc(cases, func(c registrytest.Case) bool { return c.Name == name }) {
			t.Errorf("there is no case %s", name)
		}
	}
}
