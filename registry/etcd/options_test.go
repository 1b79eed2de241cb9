package etcd

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.uber.org/zap"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
)

func TestTimeoutBoundsCallsWithoutADeadline(t *testing.T) {
	clearEnvironment(t)
	r, err := New(registry.Timeout(time.Minute))
	require.NoError(t, err)
	var none context.Context
	ctx, cancel := r.bound(none)
	defer cancel()
	requireDeadlineIn(t, ctx, time.Minute)

	own, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	ctx, cancel = r.bound(own)
	defer cancel()
	requireDeadlineIn(t, ctx, time.Hour)

	require.NoError(t, r.Init(registry.Timeout(0)))
	ctx, cancel = r.bound(context.Background())
	defer cancel()
	requireDeadlineIn(t, ctx, defaultTimeout)
}

func requireDeadlineIn(t *testing.T, ctx context.Context, d time.Duration) {
	t.Helper()
	deadline, ok := ctx.Deadline()
	require.True(t, ok)
	require.WithinDuration(t, time.Now().Add(d), deadline, 10*time.Second)
}

func TestLoggerGetsWhatTheRegistryReports(t *testing.T) {
	clearEnvironment(t)
	first, second := &recorder{}, &recorder{}
	r, err := New(registry.Logger(first))
	require.NoError(t, err)
	p, err := r.serving(t.Context())
	require.NoError(t, err)
	p.views.Malformed.Decode(catalog.NewDecoder(p.config.keys), &mvccpb.KeyValue{Key: []byte("key")})
	require.Eventually(t, func() bool { return len(first.logged()) > 0 }, 10*time.Second, time.Millisecond)
	require.NoError(t, r.Init(registry.Logger(second)))
	p.views.Malformed.Decode(catalog.NewDecoder(p.config.keys), &mvccpb.KeyValue{Key: []byte("another")})
	require.NoError(t, r.Close())
	require.Equal(
		t, []string{`warn etcd registry: skipping "key": malformed record: unexpected end of JSON input`}, first.logged(),
	)
	require.Len(t, second.logged(), 1)
}

func TestSecureUsesTheSystemsRoots(t *testing.T) {
	clearEnvironment(t)
	s := settingsOf(t, registry.Secure(true))
	require.Equal(t, []string{"https://127.0.0.1:2379"}, s.Endpoints)
	require.False(t, s.TLS.InsecureSkipVerify)
	require.Nil(t, s.TLS.RootCAs)
	require.GreaterOrEqual(t, s.TLS.MinVersion, uint16(tls.VersionTLS12))
}

func TestTLSConfigIsCopied(t *testing.T) {
	clearEnvironment(t)
	callers := &tls.Config{ServerName: "before", MinVersion: tls.VersionTLS13}
	r, err := New(registry.TLSConfig(callers))
	require.NoError(t, err)
	s := r.components.Load().config.settings
	require.Equal(t, []string{"https://127.0.0.1:2379"}, s.Endpoints)
	callers.ServerName = "after"
	require.Equal(t, "before", s.TLS.ServerName)
	require.Same(t, callers, r.Options().TLSConfig)
}

func TestTLSFilesWithoutNamesMeansTheSystemsRoots(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("ETCD_CACERT", "/no/such/ca")
	s := settingsOf(t, TLSFiles("", "", ""))
	require.NotNil(t, s.TLS)
	require.Nil(t, s.TLS.RootCAs)
	require.False(t, s.TLS.InsecureSkipVerify)
}

func TestAuthGivesTheClientItsUser(t *testing.T) {
	clearEnvironment(t)
	require.Equal(t, credentials{"root", "hunter2"}, settingsOf(t, Auth("root", "hunter2")).credentials())
	require.Zero(t, settingsOf(t, Auth("root", "hunter2"), Auth("", "")).credentials())
}

func TestLogConfigMakesTheEtcdClientLog(t *testing.T) {
	clearEnvironment(t)
	config := zap.NewProductionConfig()
	file := filepath.Join(t.TempDir(), "etcd.log")
	config.OutputPaths = []string{file}
	settingsOf(t, LogConfig(&config)).Log.Info("hello")
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(content), "hello")
	require.Nil(t, settingsOf(t, LogConfig(nil)).Log)
}

func TestABadLogConfigIsAnError(t *testing.T) {
	clearEnvironment(t)
	config := zap.NewProductionConfig()
	config.OutputPaths = []string{"/no/such/directory/etcd.log"}
	_, err := New(LogConfig(&config))
	require.ErrorIs(t, err, ErrOption)
	require.ErrorContains(t, err, "/no/such/directory")
}

func TestANilOptionIsAnErrorUntilInitMendsIt(t *testing.T) {
	clearEnvironment(t)
	r := newRegistry([]registry.Option{nil, registry.Addrs("h")})
	_, err := r.ListServices()
	require.ErrorIs(t, err, ErrOption)
	require.ErrorIs(t, r.Init(nil), ErrOption)
	require.NoError(t, r.Init())
	require.Equal(t, []string{"http://h:2379"}, r.Status().Endpoints)
}

func TestANilOptionOfACallIsAnErrorThatNamesTheCall(t *testing.T) {
	clearEnvironment(t)
	r, err := New()
	require.NoError(t, err)
	s := &registry.Service{Name: "greeter", Nodes: []*registry.Node{{Id: "n1"}}}
	for name, call := range map[string]func() error{
		"register":              func() error { return r.Register(s, registry.RegisterTTL(time.Second), nil) },
		"deregister":            func() error { return r.Deregister(s, nil) },
		`get service "greeter"`: func() error { _, err := r.GetService("greeter", nil, Linearizable()); return err },
		"list services":         func() error { _, err := r.ListServices(nil); return err },
		"watch":                 func() error { _, err := r.Watch(nil); return err },
	} {
		err := call()
		require.ErrorIs(t, err, ErrOption, name)
		require.EqualError(t, err, name+": invalid option: an option is nil")
	}
}

func TestClientIsUsedAndNeverClosed(t *testing.T) {
	clearEnvironment(t)
	client := newClient(t)
	r, err := New(Client(client))
	require.NoError(t, err)
	require.Equal(t, client.Endpoints(), r.Status().Endpoints)
	cl, err := r.connector.Connect(t.Context())
	require.NoError(t, err)
	require.Same(t, client, cl.Client)
	require.NoError(t, r.Close())
	require.False(t, cl.IsCurrent())
	require.NoError(t, client.Ctx().Err())
}

func TestLaterAddressesReplaceTheClient(t *testing.T) {
	clearEnvironment(t)
	client := newClient(t)
	r, err := New(Client(client))
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	cl, err := r.connector.Connect(t.Context())
	require.NoError(t, err)
	require.NoError(t, r.Init(registry.Addrs("callers.own:1"), Auth("", "")))
	require.Equal(t, []string{"http://callers.own:1"}, r.Status().Endpoints)
	require.False(t, cl.IsCurrent(), "streams on the old client end")
	require.NoError(t, client.Ctx().Err())
}

func TestALaterClientReplacesTheConnectionsOptions(t *testing.T) {
	clearEnvironment(t)
	client := newClient(t)
	r, err := New(
		registry.Addrs("h"), registry.Secure(true), Auth("root", "hunter2"), registry.Timeout(time.Minute), Prefix("/x"),
	)
	require.NoError(t, err)
	require.NoError(t, r.Init(Client(client)))
	require.Equal(t, settings{
		Config: etcdconn.Config{Client: client, Endpoints: client.Endpoints()},
	}, r.components.Load().config.settings)
	require.Equal(t, time.Minute, r.Options().Timeout)
	require.Equal(t, "/x/", r.components.Load().config.keys.Prefix)

	require.ErrorIs(t, r.Init(Auth("root", "hunter2")), ErrOption, "it could have no effect")
	require.NoError(t, r.Init(registry.Addrs("g")))
	require.Equal(
		t, settings{Config: etcdconn.Config{Endpoints: []string{"http://g:2379"}}}, r.components.Load().config.settings,
	)
}

func TestPrefixSetsTheDirectoryOfAllRecords(t *testing.T) {
	clearEnvironment(t)
	for given, prefix := range map[string]string{
		"/tenant/": "/tenant/", "/tenant": "/tenant/", "tenant": "tenant/", "/a/b": "/a/b/", DefaultPrefix: DefaultPrefix,
	} {
		r, err := New(Prefix(given))
		require.NoError(t, err)
		p := r.components.Load()
		require.Equal(t, prefix, p.config.keys.Prefix)
	}
}

func TestLinearizableMarksOneLookup(t *testing.T) {
	type key struct{}
	for _, ctx := range []context.Context{nil, context.WithValue(context.Background(), key{}, "kept")} {
		o := registry.GetOptions{Context: ctx}
		require.False(t, isLinearizable(o.Context))
		Linearizable()(&o)
		require.True(t, isLinearizable(o.Context))
		if ctx != nil {
			require.Equal(t, "kept", o.Context.Value(key{}))
		}
	}
}

func TestLinearizableCountsBeforeAndAfterAContext(t *testing.T) {
	type key struct{}
	within := registry.GetContext(context.WithValue(context.Background(), key{}, "kept"))
	for _, opts := range [][]registry.GetOption{{Linearizable(), within}, {within, Linearizable()}} {
		ctx, linearizable, err := gatherGet(opts)
		require.NoError(t, err)
		require.True(t, linearizable)
		require.Equal(t, "kept", ctx.Value(key{}))
	}
	_, linearizable, err := gatherGet([]registry.GetOption{within})
	require.NoError(t, err)
	require.False(t, linearizable)
}

func TestOptionsOfOthersFindAContext(t *testing.T) {
	type key struct{}
	r, err := New(func(o *registry.Options) { o.Context = context.WithValue(o.Context, key{}, "kept") })
	require.NoError(t, err)
	require.NoError(t, r.Init(registry.Addrs("h")))
	require.Equal(t, "kept", r.Options().Context.Value(key{}))
}

func TestOptionsWorkWithoutAContext(t *testing.T) {
	var o registry.Options
	_, given := option[credentials](o, authKey{})
	require.False(t, given)
	Auth("root", "hunter2")(&o)
	c, given := option[credentials](o, authKey{})
	require.True(t, given)
	require.Equal(t, credentials{"root", "hunter2"}, c)
	_, err := New(func(o *registry.Options) { o.Context = nil }, registry.Addrs("h"))
	require.NoError(t, err)
}

func TestAddrsBelongToTheCaller(t *testing.T) {
	clearEnvironment(t)
	list := []string{"a", "b"}
	r, err := New(registry.Addrs(list...))
	require.NoError(t, err)
	list[0] = "changed:0"
	require.NoError(t, r.Init())
	require.Equal(t, []string{"a", "b"}, r.Options().Addrs)
	require.Equal(t, []string{"http://a:2379", "http://b:2379"}, r.Status().Endpoints)
}
