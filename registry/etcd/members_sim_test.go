package etcd

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/etcdfake"
)

// How one member of three can fail.
var memberFailures = map[string]func(e *fakeEtcd, member string){
	"silent":           func(e *fakeEtcd, member string) { e.Silence(member, false) },
	"its answers lost": func(e *fakeEtcd, member string) { e.Silence(member, true) },
	"killed":           func(e *fakeEtcd, member string) { e.Kill(member) },
}

// Each member fails in turn, so that one has the watch.
func TestAMemberThatFailsHoldsNothingUp(t *testing.T) {
	t.Parallel()
	const soon = 2 * time.Second
	ttl := registry.RegisterTTL(5 * time.Second)
	for name, fail := range memberFailures {
		t.Run(name, func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				r, _ := e.newConnected(t)
				require.NoError(t, r.Register(greeter(3), ttl))
				f := newFollower(t, r, "greeter")
				took := func(what string, call func() error) {
					t.Helper()
					began := time.Now()
					require.NoError(t, call(), what)
					assert.LessOrEqual(t, time.Since(began), soon, what)
				}
				told := func(limit time.Duration) {
					t.Helper()
					e.PutKey(greeterDir+"x", foreignValue("x", step{}), 0)
					await(t, limit, "a watcher is told", func() bool { return e.differ("greeter", r, f) == "" })
					e.Remove(greeterDir + "x")
					await(t, soon, "and told more", func() bool { return e.differ("greeter", r, f) == "" })
				}
				for i, member := range etcdfake.Members {
					other := &registry.Service{Name: fmt.Sprint("other", i), Nodes: []*registry.Node{{Id: "1", Address: "a:1"}}}
					time.Sleep(time.Minute)
					fail(e, member)
					took("Register", func() error { return r.Register(other, ttl) })
					took("a first lookup", func() error { _, err := r.GetService(other.Name); return err })
					took("Linearizable", func() error { _, err := r.GetService(other.Name, Linearizable()); return err })
					took("ListServices", func() error { _, err := r.ListServices(); return err })
					took("Watch", func() error {
						w, err := r.Watch(registry.WatchService(other.Name))
						w.Stop()
						return err
					})
					took("Deregister", func() error { return r.Deregister(other) })
					told(soon)
					time.Sleep(time.Minute)
					e.Revive(member)
				}
				for _, member := range etcdfake.Members {
					time.Sleep(time.Minute)
					fail(e, member)
					told(15 * time.Second) // by gRPC's pings, if nobody asks
					e.Revive(member)
				}
				assert.Zero(t, e.lost(greeter(3)), "records that were missing")
				fail(e, etcdfake.Members[0])
				took("Close", r.Close)
				assert.Zero(t, e.leaseCount())
			})
		})
	}
}
