package federation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/registry/federation"
	"github.com/micro-etcd/micro-etcd/test/leak"
	"github.com/micro-etcd/micro-etcd/test/relay"
)

func TestMain(m *testing.M) {
	logger.DefaultLogger = logger.NewLogger(logger.WithLevel(logger.FatalLevel))            // failed calls are meant
	leak.Verify(m, goleak.IgnoreAnyFunction("go-micro.dev/v4/registry/cache.(*cache).run")) // it sleeps 10 s after Stop
}

const (
	patience = time.Minute // for what must happen
	soon     = time.Second // the promise for a failover
	slack    = time.Second // for a machine that does other things, too
	longHold = time.Hour   // nothing goes back meanwhile
)

// place is a data center: an etcd, and the way there.
type place struct {
	name   string
	etcd   *etcdtest.Server
	client *clientv3.Client
	way    *relay.Relay
}

func newPlace(t *testing.T, name string, opts ...etcdtest.Option) *place {
	t.Helper()
	p := &place{name: name, etcd: etcdtest.Start(t, opts...)}
	p.client = p.etcd.Client(t)
	p.way = newWay(t, p.etcd.Endpoint())
	return p
}

func newWay(t *testing.T, to string) *relay.Relay {
	t.Helper()
	way, err := relay.Start("127.0.0.1:0", to, relay.NewLink(), nil)
	require.NoError(t, err)
	t.Cleanup(way.End)
	return way
}

// open returns a registry on the way to the data center.
func (p *place) open(t *testing.T, opts ...registry.Option) *etcd.Registry {
	t.Helper()
	return open(t, p.way.Address(), opts...)
}

func open(t *testing.T, address string, opts ...registry.Option) *etcd.Registry {
	t.Helper()
	r, err := etcd.New(append([]registry.Option{registry.Addrs(address)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// registered is a process of its own in the data center that has registered nodes, and isn't cut off from etcd.
func (p *place) registered(t *testing.T, ids ...string) *etcd.Registry {
	t.Helper()
	r := open(t, p.etcd.Endpoint())
	require.NoError(t, r.Register(greeter(ids...)))
	return r
}

func (p *place) cut()              { p.way.Refuse() }
func (p *place) mute()             { p.way.Link.Hold(relay.ToServer, relay.ToClient) }
func (p *place) heal(t *testing.T) { t.Helper(); p.way.Link.Heal(); require.NoError(t, p.way.Accept()) }

// federate makes a federation of registries on the way to data centers, the local one first.
func federate(t *testing.T, hold time.Duration, places ...*place) *federation.Registry {
	t.Helper()
	opts := []federation.Option{federation.Hold(hold)}
	for i, p := range places {
		if i == 0 {
			opts = append(opts, federation.Local(p.name, p.open(t)))
		} else {
			opts = append(opts, federation.Remote(p.name, p.open(t)))
		}
	}
	return newFederation(t, opts...)
}

// newFederation returns one whose Close is bounded in any case.
func newFederation(t *testing.T, opts ...federation.Option) *federation.Registry {
	t.Helper()
	f, err := federation.New(opts...)
	require.NoError(t, err)
	t.Cleanup(func() {
		began := time.Now()
		require.NoError(t, f.Close())
		require.Less(t, time.Since(began), soon+slack, "Close")
	})
	return f
}

func greeter(ids ...string) *registry.Service {
	s := &registry.Service{Name: "greeter", Version: "1", Metadata: map[string]string{"team": "blue"}}
	for i, id := range ids {
		s.Nodes = append(s.Nodes, &registry.Node{Id: id, Address: fmt.Sprintf("10.0.0.%d:80", i+1)})
	}
	return s
}

// mortal puts nodes into etcd as processes do that are killed later: kill ends their leases.
func (p *place) mortal(t *testing.T, ids ...string) (kill func()) {
	t.Helper()
	lease, err := p.client.Grant(t.Context(), 3600)
	require.NoError(t, err)
	for _, id := range ids {
		value, err := json.Marshal(greeter(id))
		require.NoError(t, err)
		_, err = p.client.Put(t.Context(), etcd.DefaultPrefix+"greeter/"+id, string(value), clientv3.WithLease(lease.ID))
		require.NoError(t, err)
	}
	return func() {
		_, err := p.client.Revoke(context.Background(), lease.ID)
		require.NoError(t, err)
	}
}

// nodes returns what a lookup answers, as "dc/id".
func nodes(t *testing.T, r registry.Registry, opts ...registry.GetOption) []string {
	t.Helper()
	services, err := r.GetService("greeter", opts...)
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	require.NoError(t, err)
	var all []string
	for _, s := range services {
		for _, n := range s.Nodes {
			all = append(all, n.Metadata[federation.DatacenterKey]+"/"+n.Id)
		}
	}
	slices.Sort(all)
	return all
}

// eventually waits for a condition, and returns how long that took.
func eventually(t *testing.T, what string, condition func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Since(began) > patience {
			require.FailNow(t, "it doesn't become true", what)
		}
		<-tick.C
	}
	return time.Since(began)
}

// serves waits until exactly these nodes are served, and returns how long that took.
func serves(t *testing.T, r registry.Registry, want ...string) time.Duration {
	t.Helper()
	return eventually(t, fmt.Sprint(want, " served"), func() bool {
		_, err := r.GetService("greeter")
		return (err == nil || errors.Is(err, registry.ErrNotFound)) && slices.Equal(nodes(t, r), want)
	})
}

// stays looks up for some time, and fails if anything but these nodes is served, or a lookup isn't instant.
func stays(t *testing.T, r registry.Registry, d time.Duration, want ...string) {
	t.Helper()
	var slow int
	for began := time.Now(); time.Since(began) < d; {
		asked := time.Now()
		require.Equal(t, want, nodes(t, r))
		if time.Since(asked) > 100*time.Millisecond {
			slow++
		}
		time.Sleep(5 * time.Millisecond)
	}
	require.LessOrEqual(t, slow, 2, "lookups that weren't instant")
}
