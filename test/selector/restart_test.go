package selector

import (
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/selector"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

const fleet = 20

var address = regexp.MustCompile(`[0-9.]+:[0-9]+`)

// loads are the clients that are compared, all at the same time on the same greeters.
type loads struct{ standard, ours, retrying *load }

func startLoads(t *testing.T, endpoint string) loads {
	t.Helper()
	all := loads{
		standard: startLoad(t, "go-micro's selector", endpoint, selector.NewSelector, nil),
		ours:     startLoad(t, "etcd.NewSelector", endpoint, etcd.NewSelector, nil),
		retrying: startLoad(t, "etcd.NewSelector and etcd.RetryUnsent", endpoint, etcd.NewSelector, etcd.RetryUnsent),
	}
	all.await(t, 20*workers)
	return all
}

func (all loads) each(do func(*load)) {
	for _, l := range []*load{all.standard, all.ours, all.retrying} {
		do(l)
	}
}

func (all loads) await(t *testing.T, calls int) {
	t.Helper()
	all.each(func(l *load) { l.await(t, calls) })
}

// finish stops the loads and prints the table.
func (all loads) finish(t *testing.T, what string) {
	t.Helper()
	all.await(t, 20*workers)
	all.each((*load).stop)
	t.Log(what)
	t.Logf(
		"| %-38s | %6s | %6s | %8s | %4s | %8s | %8s | %8s |", "client", "calls", "failed", "attempts", "hung", "p50", "p99",
		"max",
	)
	all.each(func(l *load) { t.Log(l) })
	all.each(func(l *load) {
		seen := make(map[string]int)
		for _, err := range l.failed {
			seen[address.ReplaceAllString(merrors.FromError(err).Detail, "...")]++
		}
		for text, n := range seen {
			t.Logf("%s: %d × %s", l.name, n, text)
		}
	})
}

func startFleet(t *testing.T, linger time.Duration) (endpoint string, greeters []*greeter) {
	t.Helper()
	endpoint = etcdtest.Start(t).Endpoint()
	for range fleet {
		greeters = append(greeters, startGreeter(t, endpoint, linger))
	}
	return endpoint, greeters
}

func TestARollingRestartLosesNoCall(t *testing.T) {
	const linger = 250 * time.Millisecond
	endpoint, greeters := startFleet(t, linger)
	all := startLoads(t, endpoint)
	for _, g := range greeters {
		g.end(t, syscall.SIGTERM)
		startGreeter(t, endpoint, linger)
	}
	all.finish(t, "20 nodes restarted, each of which serves for a quarter of a second after it has deregistered")
	require.Empty(t, all.retrying.failed)
}

func TestARollingRestartOfServicesThatDontLinger(t *testing.T) {
	endpoint, greeters := startFleet(t, 0)
	all := startLoads(t, endpoint)
	for _, g := range greeters {
		g.end(t, syscall.SIGTERM)
		startGreeter(t, endpoint, 0)
	}
	all.finish(t, "20 nodes restarted, which end at once")
	require.LessOrEqual(t, len(all.retrying.failed), fleet, "what was being served when they ended")
}

func TestAKilledNodeCostsTheCallsInFlightAndOnePerTrial(t *testing.T) {
	endpoint, greeters := startFleet(t, 0)
	all := startLoads(t, endpoint)
	killed := greeters[:5]
	began := time.Now()
	for _, g := range killed {
		g.end(t, syscall.SIGKILL)
		all.await(t, 20*workers)
	}
	all.await(t, 100*workers)
	require.Less(t, time.Since(began), ttl, "else etcd has forgotten them, and there is nothing to see")
	all.finish(t, "5 of 20 nodes killed, before their records expire")
	probes := 1 // ejections grow from half a second at least
	for ejected := minEjected; ejected < time.Since(began); ejected *= 2 {
		probes++
	}
	for _, l := range []*load{all.ours, all.retrying} {
		t.Log(l.name, "failed attempts by node:", l.attempts)
		for id, attempts := range l.attempts {
			require.LessOrEqual(t, attempts, workers+probes, "%s: %s", l.name, id)
		}
	}
	require.LessOrEqual(
		t, len(all.retrying.failed), workers*len(killed), "only calls in flight, which may have been served",
	)
}

const minEjected = time.Second / 2
