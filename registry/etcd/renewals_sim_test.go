package etcd

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/registration"
	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// One registry has two services, and may no longer write one of them: so etcd doesn't renew leases with its keys.

const otherDir = DefaultPrefix + "other/"

func other(nodes int) *registry.Service {
	s := greeter(nodes)
	s.Name = "other"
	return s
}

// lost counts how many of a service's records were ever deleted.
func (e *fakeEtcd) lost(s *registry.Service) int {
	n := 0
	for _, node := range s.Nodes {
		n += min(1, e.losses(DefaultPrefix+s.Name+"/"+node.Id))
	}
	return n
}

func TestARefusedLeaseCostsNoOtherRecord(t *testing.T) {
	t.Parallel()
	const ttl = 6 * time.Second
	{
		for _, refused := range []int{1, 60} {
			t.Run(fmt.Sprintf("%d refused", refused), func(t *testing.T) {
				withFake(t, func(t *testing.T, e *fakeEtcd) {
					r, logs := e.newRegistry(t)
					mustRegister(t, r, greeter(30), ttl)
					mustRegister(t, r, other(refused), ttl)
					time.Sleep(time.Minute)
					permit := e.Forbid(otherDir)
					await(t, 2*ttl, "the others are gone", func() bool { return e.lost(other(refused)) == refused })
					time.Sleep(time.Minute)
					require.Zero(t, e.lost(greeter(30)))
					require.True(t, e.has(greeter(30)))
					for _, g := range r.Status().Registrations {
						if g.Service == "greeter" {
							require.Equal(t, registration.StateRegistered, g.State)
							continue
						}
						require.Equal(t, registration.StatePending, g.State)
						require.ErrorIs(t, g.Err, rpctypes.ErrPermissionDenied)
					}
					lines := logs.logged()
					said := slices.DeleteFunc(
						slices.Clone(lines), func(line string) bool { return !strings.Contains(line, "is pending") },
					)
					require.LessOrEqual(t, len(said), refused, "once for each lease")
					require.NotEmpty(t, said)
					require.LessOrEqual(t, len(lines), 2*refused, lines)

					before := e.requests()
					time.Sleep(time.Minute)
					assert.Less(t, e.requests("Txn", "Range", "LeaseGrant")-before, 60*(30+refused), "nobody hurries")
					permit()
					await(t, retry.MaxRefused+time.Second, "the others are back", func() bool { return e.has(other(refused)) })
					time.Sleep(time.Minute)
					require.Zero(t, e.lost(greeter(30)))
					require.Equal(t, 30+refused, e.leaseCount())
				})
			})
		}
	}
}

func TestPermissionThatReturnsInTimeCostsNoRecord(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		const ttl = 90 * time.Second
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(3), ttl)
		mustRegister(t, r, other(3), ttl)
		for range 5 {
			time.Sleep(time.Minute)
			refusals := r.metrics.Leases.Get(metrics.LeaseRefused)
			permit := e.Forbid(otherDir)
			await(t, ttl, "a refusal", func() bool { return r.metrics.Leases.Get(metrics.LeaseRefused) > refusals })
			time.Sleep(30 * time.Second)
			permit()
			await(t, retry.MaxRefused+time.Second, "all is well", func() bool {
				return !slices.ContainsFunc(
					r.Status().Registrations, func(g RegistrationStatus) bool { return g.State != registration.StateRegistered },
				)
			})
		}
		require.Zero(t, e.lost(greeter(3))+e.lost(other(3)))
		require.NoError(t, r.Close())
		require.Zero(t, e.leaseCount(), "every lease was given back")
	})
}

// A doubt makes every lease be asked for. Whoever may not read isn't told whether its lease is there, but may be able
// to renew it.
func TestASuspectLeaseThatMayNotBeReadIsRenewed(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(3), testTTL)
		mustRegister(t, r, other(1), testTTL)
		time.Sleep(time.Minute)
		e.Forbid(otherDir)
		e.Refuse(func(method string, _ any) bool { return method == "LeaseTimeToLive" }, rpctypes.ErrGRPCPermissionDenied)
		for range 10 {
			r.components.Load().resync()
			time.Sleep(testTTL / 2)
		}
		require.Zero(t, e.lost(greeter(3)))
		require.True(t, e.has(greeter(3)))
		require.Equal(t, 1, e.lost(other(1)))
	})
}

// etcd answers everything in order. Something between may not.
func TestALostAnswerToARenewalCostsAnotherOne(t *testing.T) {
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		r, _ := e.newRegistry(t)
		mustRegister(t, r, greeter(1), testTTL)
		time.Sleep(time.Minute)
		e.AlterRenewals(1, func(answer *pb.LeaseKeepAliveResponse) { answer.ID = 404 })
		time.Sleep(10 * testTTL)
		require.Zero(t, e.lost(greeter(1)))
	})
}
