package etcd

import (
	"context"
	"crypto/tls"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/util/cmd"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/registry/internal/gomicro"
)

func newService() *registry.Service {
	return &registry.Service{Name: "greeter", Version: "1", Nodes: []*registry.Node{{Id: "n1", Address: "a:1"}}}
}

// calls are all methods that may fail but Close, by name.
func calls(r registry.Registry) map[string]func() error {
	return map[string]func() error{
		"Init":       func() error { return r.Init() },
		"Register":   func() error { return r.Register(newService(), registry.RegisterTTL(time.Minute)) },
		"Deregister": func() error { return r.Deregister(newService()) },
		"GetService": func() error { _, err := r.GetService("greeter"); return err },
		"linearizable GetService": func() error {
			_, err := r.GetService("greeter", Linearizable())
			return err
		},
		"ListServices": func() error { _, err := r.ListServices(); return err },
		"Client":       func() error { _, err := r.(*Registry).Client(context.Background()); return err },
		"Watch":        func() error { _, err := r.Watch(); return err },
		"Watch one":    func() error { _, err := r.Watch(registry.WatchService("greeter")); return err },
	}
}

func TestImportingRegistersTheNameEtcd(t *testing.T) {
	clearEnvironment(t)
	require.Equal(t, "etcd", cmd.DefaultRegistries["etcd"]().String())
}

func TestNewReturnsAConfigurationError(t *testing.T) {
	clearEnvironment(t)
	r, err := New(registry.Addrs("a:b:c"))
	require.Nil(t, r)
	require.ErrorIs(t, err, ErrAddress)
}

func TestNewRegistryReturnsAConfigurationErrorFromEveryCall(t *testing.T) {
	clearEnvironment(t)
	for sentinel, bad := range map[error]registry.Option{
		ErrAddress: registry.Addrs("a:b:c"),
		ErrOption:  Client(nil),
		ErrTLS:     TLSFiles("/no/such/ca", "", ""),
	} {
		r := NewRegistry(Prefix("/tenant"), bad, registry.Timeout(time.Minute))
		require.NotNil(t, r)
		for name, call := range calls(r) {
			require.ErrorIs(t, call(), sentinel, name)
		}
		require.ErrorIs(t, r.(*Registry).Status().Err, sentinel)
		require.NotNil(t, r.Options().Context)
		require.Equal(t, time.Minute, r.Options().Timeout)
		require.Equal(t, "etcd", r.String())
		require.NoError(t, r.(*Registry).Close())
	}
}

func TestInitMendsAConfigurationErrorAndKeepsTheOtherOptions(t *testing.T) {
	clearEnvironment(t)
	client := newClient(t)
	for _, bad := range []registry.Option{
		registry.Addrs("a:b:c"),
		registry.Addrs("http://a,https://b"),
		Client(nil),
		func(o *registry.Options) { Client(client)(o); Auth("root", "hunter2")(o) },
	} {
		r := NewRegistry(Prefix("/tenant"), registry.Timeout(time.Minute), bad).(*Registry)
		broken := r.Status().Err
		require.Error(t, broken)
		require.EqualError(t, r.Init(), broken.Error(), "an Init that doesn't touch it mends nothing")
		_, err := r.GetService("greeter")
		require.ErrorIs(t, err, broken)

		require.NoError(t, r.Init(registry.Addrs("h")))
		require.NoError(t, r.Status().Err)
		require.Equal(t, []string{"http://h:2379"}, r.Status().Endpoints)
		require.Equal(t, time.Minute, r.Options().Timeout)
		require.Equal(t, "/tenant/", r.components.Load().config.keys.Prefix)
		require.NoError(t, r.Init(Prefix("/other")), "calls that failed haven't used it")
		require.NoError(t, r.Close())
	}
}

func TestABrokenRegistryStaysQuiet(t *testing.T) {
	clearEnvironment(t)
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(registry.Addrs("a:b:c")).(*Registry)
		_, err := r.GetService("greeter")
		require.ErrorIs(t, err, ErrAddress)
		time.Sleep(time.Hour)
		require.ErrorIs(t, r.Status().Err, ErrAddress)
		require.NoError(t, r.Close())
	})
}

func TestAFailedInitChangesNothing(t *testing.T) {
	clearEnvironment(t)
	r, err := New(registry.Addrs("a", "b"), registry.Timeout(time.Minute), Auth("root", "hunter2"))
	require.NoError(t, err)
	options, parts, status := r.Options(), r.components.Load(), r.Status()
	for sentinel, bad := range map[error]registry.Option{
		ErrAddress: registry.Addrs("a:b:c"),
		ErrOption:  Auth("half", ""),
		ErrTLS:     TLSFiles("/no/such/ca", "", ""),
	} {
		require.ErrorIs(t, r.Init(registry.Timeout(time.Hour), Prefix("/x"), bad), sentinel)
		require.Equal(t, options, r.Options())
		require.Same(t, parts, r.components.Load())
		require.Equal(t, status, r.Status())
	}
	require.NoError(t, r.Init())
	require.Equal(t, options, r.Options())
}

func TestAnInitReplacesTheClientExactlyIfTheConnectionChanges(t *testing.T) {
	clearEnvironment(t)
	cert, key := makeCertificate(t)
	r, err := New(registry.Addrs("unix:///nobody.sock"))
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	link := func() *etcdconn.Client {
		cl, err := r.connector.Connect(t.Context())
		require.NoError(t, err)
		return cl
	}
	callers, logs := &tls.Config{MinVersion: tls.VersionTLS13}, zap.NewProductionConfig()
	for _, c := range []struct {
		name     string
		replaces bool
		options  []registry.Option
	}{
		{"nothing", false, nil},
		{"the same address", false, []registry.Option{registry.Addrs("UNIX:///nobody.sock")}},
		{"timeout and logger", false, []registry.Option{registry.Timeout(time.Hour), registry.Logger(&recorder{})}},
		{"addresses", true, []registry.Option{registry.Addrs("unix:///nobody.sock", "unix:///else.sock")}},
		{"Secure", true, []registry.Option{registry.Secure(true)}},
		{"the same again", false, []registry.Option{registry.Secure(true)}},
		{"a TLS configuration", true, []registry.Option{registry.TLSConfig(callers)}},
		{"the same configuration", false, []registry.Option{registry.TLSConfig(callers)}},
		{"another configuration", true, []registry.Option{registry.TLSConfig(callers.Clone())}},
		{"TLS files", true, []registry.Option{registry.TLSConfig(nil), TLSFiles("", cert, key)}},
		{"other TLS files", true, []registry.Option{TLSFiles(cert, "", "")}},
		{"logging", true, []registry.Option{LogConfig(&logs)}},
	} {
		before := link()
		require.NoError(t, r.Init(c.options...), c.name)
		after := link()
		require.Equal(t, c.replaces, before != after, c.name)
		require.NotEqual(t, c.replaces, before.IsCurrent(), c.name)
	}
	s := r.components.Load().config.settings
	other := s
	require.True(t, s.equal(other))
	other.Username, other.Password = "root", "hunter2" // a client with these dials at once
	require.False(t, s.equal(other))
}

func TestThePrefixCanChangeUntilTheRegistryIsInUse(t *testing.T) {
	clearEnvironment(t)
	r, err := New()
	require.NoError(t, err)
	require.NoError(t, r.Init(Prefix("/x")))
	require.Equal(t, "/x/", r.components.Load().config.keys.Prefix)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = r.GetService("greeter", func(o *registry.GetOptions) { o.Context = ended })
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, r.Init(Prefix("/y")))

	_, err = r.GetService("..")
	require.ErrorIs(t, err, ErrServiceName)
	require.ErrorIs(t, r.Init(Prefix("/z")), ErrOption)
	require.Equal(t, "/y/", r.components.Load().config.keys.Prefix)
	require.NoError(t, r.Init(Prefix("/y/"), registry.Timeout(time.Hour)))
	require.NoError(t, r.Close())
}

func TestNothingConnectsOrRunsBeforeTheFirstUse(t *testing.T) {
	clearEnvironment(t)
	before := goleak.IgnoreCurrent()
	r, err := New(registry.Addrs("h"), Auth("root", "hunter2"))
	require.NoError(t, err)
	for i := range 20 {
		require.NoError(t, r.Init(registry.Addrs(fmt.Sprintf("h%d", i))))
	}
	_, _, _ = r.Options(), r.Status(), r.String()
	cl := r.connector.Current()
	require.Nil(t, cl)
	require.False(t, r.Status().Connected)
	goleak.VerifyNone(t, before)
}

func TestEveryCallAfterCloseIsErrClosed(t *testing.T) {
	clearEnvironment(t)
	for _, r := range []registry.Registry{NewRegistry(), NewRegistry(registry.Addrs("a:b:c"))} {
		for range 3 {
			require.NoError(t, r.(*Registry).Close())
		}
		for name, call := range calls(r) {
			require.ErrorIs(t, call(), ErrClosed, name)
		}
		require.True(t, r.(*Registry).Status().Closed)
		require.NotNil(t, r.Options().Context)
	}
}

func TestCloseEndsCallsUnderWayAndWatchers(t *testing.T) {
	clearEnvironment(t)
	r, err := New(
		registry.Addrs("unix://"+t.TempDir()+"/nobody.sock"), registry.Timeout(time.Minute), registry.Logger(&recorder{}),
	)
	require.NoError(t, err)
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	ended := make(chan error, 2)
	go func() { _, err := r.GetService("greeter"); ended <- err }()
	r.started.Do(r.start)
	w, err := r.components.Load().views.Watch(short, t.Context(), "greeter")
	require.NoError(t, err)
	go func() { _, err := gomicro.Watcher{Watcher: w}.Next(); ended <- err }()
	require.NoError(t, r.Close())
	for range 2 {
		require.ErrorIs(t, <-ended, ErrClosed)
	}
}

func TestBadInputIsRefusedBeforeEtcdIsAsked(t *testing.T) {
	clearEnvironment(t)
	r, err := New(registry.Addrs("unix:///nobody.sock"))
	require.NoError(t, err)
	node := &registry.Node{Id: "n1"}
	for _, c := range []struct {
		service  *registry.Service
		sentinel error
	}{
		{nil, ErrNilService},
		{&registry.Service{Name: "greeter", Nodes: []*registry.Node{node, nil}}, ErrNilService},
		{&registry.Service{Nodes: []*registry.Node{node}}, ErrServiceName},
		{&registry.Service{Name: "greeter"}, ErrNoNodes},
		{&registry.Service{Name: "greeter", Nodes: []*registry.Node{{}}}, ErrNodeID},
	} {
		require.ErrorIs(t, r.Register(c.service), c.sentinel)
		require.ErrorIs(t, r.Deregister(c.service), c.sentinel)
	}
	require.ErrorIs(t, r.Register(newService(), registry.RegisterTTL(-1)), ErrTTL)
	_, err = r.Watch(registry.WatchService(".."))
	require.ErrorIs(t, err, ErrServiceName)
	cl := r.connector.Current()
	require.Nil(t, cl)
	require.NoError(t, r.Close())
}

func TestSecretsAreNeitherInErrorsNorInStatus(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("ETCD_USERNAME", "root")
	t.Setenv("ETCD_PASSWORD", "hunter2")
	var said []string
	for _, opts := range [][]registry.Option{
		nil,
		{Auth("root", "hunter2")},
		{Auth("", "hunter2")},
		{registry.Addrs("http://root:hunter2@h")},
		{Client(newClient(t)), Auth("root", "hunter2")},
		{Auth("root", "hunter2"), registry.Addrs("a:b:c")},
		{Auth("root", "hunter2"), TLSFiles(writeFile(t, "ca", "hunter2"), "", "")},
	} {
		r := NewRegistry(append(opts, registry.Logger(&recorder{}))...).(*Registry)
		said = append(
			said, fmt.Sprintf("%+v", r.Status()), fmt.Sprintf("%+v", r.Options().Context), fmt.Sprint(r.Status().Err),
		)
		require.NoError(t, r.Close())
		said = append(said, fmt.Sprintf("%+v", r.Status()))
	}
	for _, s := range said {
		require.NotContains(t, s, "hunter2")
	}
}
