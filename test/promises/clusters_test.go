package promises

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/relay"
)

// switchable is an address that leads to one server or another.
func switchable(tb testing.TB, to *etcdtest.Server) *relay.Relay {
	tb.Helper()
	r, err := relay.Start("127.0.0.1:0", to.Endpoint(), relay.NewLink(), nil)
	require.NoError(tb, err)
	tb.Cleanup(r.End)
	return r
}

func lead(tb testing.TB, r *relay.Relay, to *etcdtest.Server) {
	tb.Helper()
	r.Refuse()
	r.Target = to.Endpoint()
	require.NoError(tb, r.Accept())
}

func TestP2AnAddressMayLeadToAnotherClusterAndBack(t *testing.T) {
	a, b := etcdtest.Start(t), etcdtest.Start(t)
	address := switchable(t, a)
	r := open(t, []string{address.Address()})
	require.NoError(t, r.Register(service("greeter", "1", "n"), registry.RegisterTTL(time.Minute)))
	for _, to := range []*etcdtest.Server{b, a, b, a, b} {
		client := to.Client(t)
		_, err := client.Delete(ctx(t), etcd.DefaultPrefix, clientv3.WithPrefix())
		require.NoError(t, err)
		lead(t, address, to)
		eventually(t, func() bool { return keys(t, client, etcd.DefaultPrefix) == 1 }, "the record is there")
		eventually(t, func() bool {
			_, err := r.GetService("greeter", etcd.Linearizable())
			return err == nil
		}, "calls go on")
	}
}

func TestP7AddressesOfTwoClustersAreAnErrorUntilTheyAgree(t *testing.T) {
	a, b := etcdtest.Start(t), etcdtest.Start(t)
	first, second := switchable(t, a), switchable(t, b)
	r := open(t, []string{first.Address(), second.Address()})
	var err error
	eventually(t, func() bool {
		_, err = r.GetService("greeter", etcd.Linearizable())
		return !errors.Is(err, registry.ErrNotFound)
	}, "both have answered")
	require.ErrorContains(t, err, "the addresses are of different etcd clusters")
	require.ErrorContains(t, err, first.Address())
	require.ErrorContains(t, err, second.Address())
	require.Error(t, r.Register(service("greeter", "1", "n"), registry.RegisterTTL(time.Minute)))
	require.ErrorContains(t, r.Status().Registrations[0].Err, "different etcd clusters")

	lead(t, second, a)
	client := a.Client(t)
	eventually(t, func() bool { return keys(t, client, etcd.DefaultPrefix) == 1 }, "the record is there")
	eventually(t, func() bool { return r.Status().Registrations[0].State == "registered" }, "and known to be")
}
