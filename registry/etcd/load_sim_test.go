package etcd

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/etcdfake"
)

// A fleet that comes back with etcd does so over a while, and with few requests each. Streams that are opened again
// count as requests.
func TestAFleetDoesNotComeBackInStep(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]func(*fakeEtcd){
		"leases survive": func(e *fakeEtcd) { e.Stop(); time.Sleep(20 * time.Second); e.Start() },
		"leases lost":    func(e *fakeEtcd) { e.Stop(); time.Sleep(20 * time.Second); e.RevokeAll(); e.Start() },
		"all data lost":  func(e *fakeEtcd) { e.Stop(); time.Sleep(20 * time.Second); e.Wipe(); e.Start() },
	} {
		t.Run(name, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				const fleet = 40
				all := greeter(fleet)
				for _, n := range all.Nodes {
					r, _ := e.newRegistry(t)
					mustRegister(t, r, &registry.Service{Name: "greeter", Version: "1", Nodes: []*registry.Node{n}}, testTTL)
					looked(t, r, "greeter")
				}
				time.Sleep(time.Minute)
				counted := make(map[int]int)
				var began time.Time
				e.On(func(method string, _ any) bool {
					if !began.IsZero() && method != "LeaseKeepAlive" {
						counted[int(time.Since(began)/(50*time.Millisecond))]++
					}
					return false
				}, etcdfake.Always, nil)
				outage(e)
				e.Mu.Lock()
				began = time.Now()
				e.Mu.Unlock()
				took := await(t, 2*time.Second, "all are back", func() bool { return e.has(all) })
				time.Sleep(5 * time.Second)
				e.Mu.Lock()
				defer e.Mu.Unlock()
				total, most := 0, 0
				for _, n := range counted {
					total, most = total+n, max(most, n)
				}
				t.Logf("all %d back after %s, %.1f requests each, at most %.0f%% of them within 50 ms",
					fleet, took, float64(total)/fleet, 100*float64(most)/float64(total))
				require.LessOrEqual(t, total, 14*fleet)
				require.LessOrEqual(t, most, total/3)
			})
		})
	}
}

// An etcd that works off a request each few milliseconds needs longer for a burst than a single try may take. No try
// runs out for that, and none is sent twice.
func TestABurstDoesNotCongestItself(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t, registry.Timeout(time.Minute))
		mustRegister(t, r, greeter(1), testTTL) // connects
		queue := make(chan struct{}, 1)
		writes := etcdfake.Either(etcdfake.Grants, etcdfake.Puts)
		e.On(writes, etcdfake.Always, func(ctx context.Context, answer func() (any, error)) (any, error) {
			queue <- struct{}{}
			defer func() { <-queue }()
			e.Wait(ctx, 5*time.Millisecond)
			return answer()
		})
		const burst = 500
		before := e.requests("LeaseGrant")
		var wg sync.WaitGroup
		all := greeter(burst)
		for _, n := range all.Nodes[1:] {
			wg.Go(func() {
				mustRegister(t, r, &registry.Service{Name: "greeter", Version: "1", Nodes: []*registry.Node{n}}, testTTL)
			})
		}
		wg.Wait()
		require.Equal(t, burst-1, e.requests("LeaseGrant")-before, "one lease for each")
	})
}
