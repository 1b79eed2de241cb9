package federation

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/registry/federation"
	"github.com/micro-etcd/micro-etcd/test/auth"
	"github.com/micro-etcd/micro-etcd/test/chaos/cluster"
)

// newProcess starts an etcd process, to be stopped and wiped.
func newProcess(t *testing.T) *cluster.Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := cluster.Start(ctx, t.TempDir(), 1)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestAnEtcdThatIsStoppedIsNotEmpty(t *testing.T) {
	t.Parallel()
	home, us1 := newProcess(t), newPlace(t, "us1")
	address := home.Members[0].ClientAddr
	greeters := open(t, address)
	require.NoError(t, greeters.Register(greeter("a", "b"), registry.RegisterTTL(10*time.Second)))
	us1.registered(t, "u")
	f := newFederation(t, federation.Local("eu1", open(t, address)), federation.Remote("us1", us1.open(t)))
	serves(t, f, "eu1/a", "eu1/b")
	require.NoError(t, home.Members[0].Signal(syscall.SIGSTOP))
	stays(t, f, 6*time.Second, "eu1/a", "eu1/b")
	require.NoError(t, home.Members[0].Signal(syscall.SIGCONT))
	stays(t, f, 2*time.Second, "eu1/a", "eu1/b")
	require.NoError(t, greeters.Deregister(greeter("a", "b")))
	require.Less(t, serves(t, f, "us1/u"), soon+slack)
}

func TestAnEtcdThatIsWipedIsAwayForMomentsOnly(t *testing.T) {
	t.Parallel()
	home, us1 := newProcess(t), newPlace(t, "us1")
	address := home.Members[0].ClientAddr
	greeters := open(t, address)
	require.NoError(t, greeters.Register(greeter("a", "b")))
	us1.registered(t, "u")
	f := newFederation(
		t, federation.Local("eu1", open(t, address)), federation.Remote("us1", us1.open(t)), federation.Hold(longHold),
	)
	serves(t, f, "eu1/a", "eu1/b")
	watched := make(chan time.Duration, 1)
	ended := make(chan struct{})
	go func() { // how long it was served from abroad
		var abroad time.Duration
		for last := time.Now(); ; {
			services, err := f.GetService("greeter")
			now := time.Now()
			if err == nil && services[0].Nodes[0].Metadata[federation.DatacenterKey] == "us1" {
				abroad += now.Sub(last)
			}
			last = now
			select {
			case <-ended:
				watched <- abroad
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, home.Wipe(ctx))
	direct, err := home.Client(home.Members[0])
	require.NoError(t, err)
	eventually(t, "the records are back", func() bool {
		rsp, err := direct.Get(ctx, etcd.DefaultPrefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
		return err == nil && rsp.Count == 2
	})
	require.Less(t, serves(t, f, "eu1/a", "eu1/b"), soon+slack, "after they are back")
	close(ended)
	require.Less(t, <-watched, 3*time.Second)
}

func TestADatacenterThatIsCutOffStays(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(*place){"refused": (*place).cut, "silent": (*place).mute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home, us1 := newPlace(t, "eu1"), newPlace(t, "us1")
			kill := home.mortal(t, "a")
			us1.registered(t, "u")
			f := federate(t, longHold, home, us1)
			serves(t, f, "eu1/a")
			w, err := f.Watch()
			require.NoError(t, err)
			defer w.Stop()
			cut(home)
			stays(t, f, 2*time.Second, "eu1/a")
			kill() // which nobody here can know
			stays(t, f, 2*time.Second, "eu1/a")
			home.heal(t)
			serves(t, f, "us1/u")
			cut(us1)
			stays(t, f, 2*time.Second, "us1/u")
			require.NoError(t, f.Register(greeter("n")))
			stays(t, f, time.Second, "us1/u") // the hold, and us1 may be well
		})
	}
}

func TestDeadServicesAreServedFromAbroadAndComeBackAfterTheHold(t *testing.T) {
	t.Parallel()
	const hold = 3 * time.Second
	home, eu2, us1 := newPlace(t, "eu1"), newPlace(t, "eu2"), newPlace(t, "us1")
	greeters := home.registered(t, "a", "b")
	us1.registered(t, "u")
	f := federate(t, hold, home, eu2, us1)
	serves(t, f, "eu1/a", "eu1/b")
	require.NoError(t, greeters.Deregister(greeter("a", "b")))
	require.Less(t, serves(t, f, "us1/u"), soon)

	began := time.Now()
	kill := home.mortal(t, "c", "d")
	serves(t, f, "eu1/c", "eu1/d")
	require.GreaterOrEqual(t, time.Since(began), hold)
	require.Less(t, time.Since(began), hold+slack)
	kill()
	require.Less(t, serves(t, f, "us1/u"), soon)

	eu2.registered(t, "e") // preferred, but it had lost the service, too
	stays(t, f, hold/2, "us1/u")
	serves(t, f, "eu2/e")
}

func TestWhoIsCutOffKeepsWhatItSaidWhileOthersComeAndGo(t *testing.T) {
	t.Parallel()
	home, eu2, us1 := newPlace(t, "eu1"), newPlace(t, "eu2"), newPlace(t, "us1")
	kill := home.mortal(t, "a")
	killRemote := eu2.mortal(t, "e")
	us1.registered(t, "u")
	f := federate(t, longHold, home, eu2, us1)
	serves(t, f, "eu1/a")
	kill()
	serves(t, f, "eu2/e")
	home.cut()
	eu2.mute()
	killRemote()
	stays(t, f, 2*time.Second, "eu2/e")
	us1.cut()
	stays(t, f, time.Second, "eu2/e")
	us1.heal(t)
	eu2.heal(t)
	serves(t, f, "us1/u")
	home.heal(t)
	stays(t, f, time.Second, "us1/u")
}

func TestPermissionDeniedIsBeingAwayToo(t *testing.T) {
	t.Parallel()
	home, us1 := newPlace(t, "eu1"), newPlace(t, "us1", func(c *embed.Config) { c.BcryptCost = 4 })
	us1.registered(t, "u")
	auth.Enable(t, us1.client, "secret")
	f := federate(t, longHold, home, us1)
	_, err := f.GetService("greeter")
	require.ErrorContains(t, err, "data center us1 couldn't be asked")
	require.NotErrorIs(t, err, registry.ErrNotFound)
	require.NoError(t, f.Ready())
	require.NoError(t, f.Register(greeter("a")))
	require.Equal(t, []string{"eu1/a"}, nodes(t, f))
	require.Error(t, f.Status().Datacenters[1].Err)
	stays(t, f, time.Second, "eu1/a")
}

func TestARemoteThatIsAwayFromTheStartIsNotMissed(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(*place){"refused": (*place).cut, "silent": (*place).mute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home, us1 := newPlace(t, "eu1"), newPlace(t, "us1")
			cut(us1)
			kill := home.mortal(t, "a")
			us1.registered(t, "u")
			f := federate(t, longHold, home, us1)
			began := time.Now()
			require.Equal(t, []string{"eu1/a"}, nodes(t, f))
			require.NoError(t, f.Register(&registry.Service{
				Name: "other", Version: "1", Nodes: []*registry.Node{{Id: "o", Address: "10.0.0.9:80"}},
			}))
			require.NoError(t, f.Ready())
			w, err := f.Watch(registry.WatchService("greeter"))
			require.NoError(t, err)
			defer w.Stop()
			require.Less(t, time.Since(began), soon+slack)
			kill()
			eventually(t, "an error that names us1", func() bool {
				_, err := f.GetService("greeter")
				return err != nil
			})
			_, err = f.GetService("greeter")
			require.ErrorContains(t, err, "us1")
			require.NotErrorIs(t, err, registry.ErrNotFound)
			us1.heal(t)
			serves(t, f, "us1/u")
		})
	}
}

func TestAHomeThatIsAwayFromTheStart(t *testing.T) {
	t.Parallel()
	home, us1 := newPlace(t, "eu1"), newPlace(t, "us1")
	home.registered(t, "a")
	us1.registered(t, "u")
	t.Run("is served from abroad until it answers", func(t *testing.T) {
		home.cut()
		f := federate(t, longHold, home, us1)
		began := time.Now()
		require.Equal(t, []string{"us1/u"}, nodes(t, f))
		require.Less(t, time.Since(began), 2*soon+slack)
		home.heal(t)
		serves(t, f, "eu1/a") // without a hold: it had never lost the service
	})
	t.Run("is served from its cache", func(t *testing.T) {
		cache := etcd.CacheDir(t.TempDir())
		before := home.open(t, cache)
		_, err := before.GetService("greeter")
		require.NoError(t, err)
		require.NoError(t, before.Close())
		home.cut()
		defer home.heal(t)
		f := newFederation(
			t, federation.Local("eu1", home.open(t, cache)), federation.Remote("us1", us1.open(t)),
		)
		require.Equal(t, []string{"eu1/a"}, nodes(t, f))
		stays(t, f, time.Second, "eu1/a")
	})
}

// Nobody knows that a service isn't there before all have said so, and then soon.
func TestNotFoundIsKnownSoonAfterAllAreBack(t *testing.T) {
	t.Parallel()
	home, us1 := newPlace(t, "eu1"), newPlace(t, "us1")
	us1.mute()
	f := federate(t, longHold, home, us1)
	_, err := f.GetService("greeter")
	require.ErrorContains(t, err, "us1")
	us1.heal(t)
	require.Less(t, eventually(t, "not found", func() bool {
		_, err := f.GetService("greeter")
		return err == registry.ErrNotFound //nolint:errorlint // go-micro compares it
	}), 10*time.Second)
}
