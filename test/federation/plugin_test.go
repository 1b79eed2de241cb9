package federation

import (
	"context"
	"reflect"
	"testing"
	"time"

	official "github.com/go-micro/plugins/v4/registry/etcd"
	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/registry/federation"
)

// plugin is the official one as a client of the data center. It has no Close, but its client has.
func (p *place) plugin(t *testing.T) registry.Registry {
	t.Helper()
	r := official.NewRegistry(registry.Addrs(p.way.Address()), registry.Timeout(2*time.Second))
	client := (*clientv3.Client)(reflect.ValueOf(r).Elem().FieldByName("client").UnsafePointer())
	t.Cleanup(func() { _ = client.Close() })
	return r
}

// The plugin's Watch blocks while etcd is silent, and its lookups know no contexts.
func TestTheOfficialPluginIsAMember(t *testing.T) {
	t.Parallel()
	home, us1, us2 := newPlace(t, "eu1"), newPlace(t, "us1"), newPlace(t, "us2")
	kill := home.mortal(t, "a")
	killRemote := us1.mortal(t, "u")
	us2.registered(t, "w")
	f := newFederation(
		t, federation.Local("eu1", home.plugin(t)), federation.Remote("us1", us1.plugin(t)),
		federation.Remote("us2", us2.open(t)), federation.Hold(time.Second),
	)
	serves(t, f, "eu1/a")
	require.NoError(t, f.Register(greeter("b"), registry.RegisterTTL(time.Minute)))
	require.Equal(t, []string{"eu1/a", "eu1/b"}, nodes(t, f))
	require.NoError(t, f.Deregister(greeter("b")))
	require.Equal(t, []string{"eu1/a"}, nodes(t, f))

	for _, away := range []func(){home.mute, home.cut} {
		away()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		require.Equal(t, []string{"eu1/a"}, nodes(t, f, registry.GetContext(ctx))) // which asks
		cancel()
		require.Error(t, f.Status().Datacenters[0].Err)
		stays(t, f, time.Second, "eu1/a")
		home.heal(t)
	}
	kill()
	serves(t, f, "us1/u")
	killRemote()
	require.Less(t, serves(t, f, "us2/w"), soon+slack)
	home.mortal(t, "c")
	serves(t, f, "eu1/c")
}

func TestAnOfficialPluginThatIsSilentFromTheStartIsNotMissed(t *testing.T) {
	t.Parallel()
	home, us1, us2 := newPlace(t, "eu1"), newPlace(t, "us1"), newPlace(t, "us2")
	us2.registered(t, "w")
	us1.mortal(t, "u")
	remote := us1.plugin(t)
	us1.mute()
	f := newFederation(
		t, federation.Local("eu1", home.open(t)), federation.Remote("us1", remote),
		federation.Remote("us2", us2.open(t)), federation.Hold(time.Second),
	)
	began := time.Now()
	require.Equal(t, []string{"us2/w"}, nodes(t, f))
	require.Less(t, time.Since(began), 2*soon+slack)
	began = time.Now()
	w, err := f.Watch()
	require.NoError(t, err)
	defer w.Stop()
	require.Less(t, time.Since(began), 2*soon+slack)
	us1.heal(t)
	serves(t, f, "us1/u")
	us1.mute() // so that Close finds it silent
}
