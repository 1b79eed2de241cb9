package interop

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// The passwords of docs/roles.md, none of which may ever be shown.
const (
	rootPassword    = "root-hunter2"
	greeterPassword = "greeter-hunter2"
	clientPassword  = "client-hunter2"
)

// ruled is an etcd with the users and roles of docs/roles.md, and root's client.
func ruled(tb testing.TB, version string, flags ...string) (*server, *clientv3.Client) {
	tb.Helper()
	s := startServer(tb, version, flags...)
	shell(tb, commands(tb, "roles.md", "Set it up"), passwords(s)...)
	return s, newClient(tb, clientv3.Config{Endpoints: []string{s.address()}, Username: "root", Password: rootPassword})
}

func passwords(s *server) []string {
	return []string{
		"ETCDCTL_ENDPOINTS=" + s.address(),
		"ROOT_PASSWORD=" + rootPassword, "GREETER_PASSWORD=" + greeterPassword, "CLIENT_PASSWORD=" + clientPassword,
	}
}

// unhurried is a timeout that nobody waits for who is told at once.
const unhurried = 30 * time.Second

// refusedAtOnce checks that a call is refused, and not only when its timeout is over.
func refusedAtOnce(tb testing.TB, says, name string, call func() error) {
	tb.Helper()
	began := time.Now()
	require.ErrorContains(tb, call(), says, name)
	require.Less(tb, time.Since(began), unhurried/2, name)
}

func soonDenied(tb testing.TB, name string, call func() error) {
	tb.Helper()
	refusedAtOnce(tb, "permission denied", name, call)
}

func TestLeastPrivilegeIsEnough(t *testing.T) {
	for _, version := range []string{"etcd35", "etcd36", "etcd37"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s, root := ruled(t, version)
			greeter := open(t, registry.Addrs(s.address()), etcd.Auth("greeter", greeterPassword), registry.Timeout(unhurried))
			client := open(t, registry.Addrs(s.address()), etcd.Auth("client", clientPassword), registry.Timeout(unhurried))
			exercise(t, "greeter", greeter, client)

			w := watch(t, client, "greeter")
			require.NoError(t, greeter.Register(service("greeter", "3", "b"), registry.RegisterTTL(time.Minute)))
			for next(t, w) != "create b@3" { // what the life before had comes first
			}
			_, err := root.Delete(soon(t), "/micro/registry/greeter/b")
			require.NoError(t, err)
			require.Equal(t, "delete b@3", next(t, w))
			require.Equal(t, "create b@3", next(t, w))
		})
	}
}

func TestWhatIsNotPermittedIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	s, root := ruled(t, usual)
	_, err := root.Put(soon(t), "/micro/registry/other/x", string(encode(t, service("other", "1", "x"))))
	require.NoError(t, err)
	greeter := open(t, registry.Addrs(s.address()), etcd.Auth("greeter", greeterPassword), registry.Timeout(unhurried))
	client := open(t, registry.Addrs(s.address()), etcd.Auth("client", clientPassword), registry.Timeout(unhurried))
	stranger := open(t, registry.Addrs(s.address()), registry.Timeout(unhurried))

	require.NoError(t, greeter.Register(service("greeter", "1", "a"), registry.RegisterTTL(time.Minute)))
	for name, call := range map[string]func() error{
		"register elsewhere": func() error {
			return greeter.Register(service("other", "1", "a"), registry.RegisterTTL(time.Minute))
		},
		"deregister elsewhere":       func() error { return greeter.Deregister(service("other", "1", "x")) },
		"look up elsewhere":          func() error { _, err := greeter.GetService("other"); return err },
		"linearizable":               func() error { _, err := greeter.GetService("other", etcd.Linearizable()); return err },
		"a neighbor whose name fits": func() error { _, err := greeter.GetService("greeter-admin"); return err },
		"list":                       func() error { _, err := greeter.ListServices(); return err },
		"watch elsewhere":            func() error { _, err := greeter.Watch(registry.WatchService("other")); return err },
		"watch all":                  func() error { _, err := greeter.Watch(); return err },
		"register as a client": func() error {
			return client.Register(service("greeter", "1", "b"), registry.RegisterTTL(time.Minute))
		},
		"deregister as a client": func() error { return client.Deregister(service("greeter", "1", "a")) },
	} {
		soonDenied(t, name, call)
	}
	require.ErrorIs(t, client.Register(service("greeter", "1", "b"), registry.RegisterTTL(time.Minute)), etcd.ErrPending)
	refusedAtOnce(
		t, "user name is empty", "a stranger", func() error { _, err := stranger.GetService("greeter"); return err },
	)
	require.Equal(t, []string{"a@1"}, found(t, client, "greeter"))
	require.Equal(t, []string{"x@1"}, found(t, client, "other"))
}

func TestAWrongPasswordIsSaidAtOnceAndNeverShown(t *testing.T) {
	t.Parallel()
	s, _ := ruled(t, usual)
	const wrong = "wrong-hunter2"
	log := newLog()
	r := open(
		t, registry.Addrs(s.address()), etcd.Auth("greeter", wrong), registry.Timeout(unhurried), registry.Logger(log),
	)
	var err error
	refusedAtOnce(t, "authentication failed", "Register", func() error {
		err = r.Register(service("greeter", "1", "a"), registry.RegisterTTL(time.Minute))
		return err
	})
	status := r.Status()
	for _, text := range []string{
		err.Error(), log.text.String(), string(mustJSON(t, status)), status.Registrations[0].Err.Error(),
	} {
		require.NotContains(t, text, "hunter2")
	}
	require.NoError(t, r.Init(etcd.Auth("greeter", greeterPassword)))
	require.NoError(t, r.Register(service("greeter", "1", "a"), registry.RegisterTTL(time.Minute)))
}

// A permission is taken away and comes back.
func TestHealingWaitsForPermission(t *testing.T) {
	t.Parallel()
	s, root := ruled(t, usual)
	log := newLog()
	greeter := open(t, registry.Addrs(s.address()), etcd.Auth(
		"greeter", greeterPassword,
	), registry.Timeout(unhurried), registry.Logger(log))
	client := open(t, registry.Addrs(s.address()), etcd.Auth("client", clientPassword), registry.Timeout(unhurried))
	require.NoError(t, greeter.Register(service("greeter", "1", "a"), registry.RegisterTTL(time.Minute)))
	reaches(t, client, "greeter", "a@1")

	_, err := root.UserRevokeRole(soon(t), "greeter", "provide-greeter")
	require.NoError(t, err)
	_, err = root.Delete(soon(t), "/micro/registry/greeter/a")
	require.NoError(t, err)
	reaches(t, client, "greeter")
	eventually(t, func() bool {
		g := greeter.Status().Registrations[0]
		return g.State == "pending" && g.Err != nil
	}, "the registration is pending")
	require.ErrorIs(t, greeter.Status().Registrations[0].Err, rpctypes.ErrPermissionDenied)
	require.NoError(t, greeter.Register(
		service("greeter", "1", "a"), registry.RegisterTTL(time.Minute),
	), "a repeat of what etcd has taken")
	eventually(t, func() bool {
		return strings.Contains(log.text.String(), "is pending")
	}, "it is logged, which takes a tenth of a second")

	_, err = root.UserGrantRole(soon(t), "greeter", "provide-greeter")
	require.NoError(t, err)
	reaches(t, client, "greeter", "a@1")
	eventually(t, func() bool { return greeter.Status().Registrations[0].State == "registered" }, "it knows")
	eventually(t, func() bool {
		return strings.Contains(log.text.String(), "greeter/a is in etcd again\n")
	}, "the recovery is logged")
	require.Equal(
		t, 1, strings.Count(log.text.String(), "greeter/a is pending: etcdserver: permission denied"), log.text.String(),
	)
}

func TestAPasswordIsChangedUnderALivingRegistry(t *testing.T) {
	t.Parallel()
	s, root := ruled(t, usual)
	greeter := open(t, registry.Addrs(s.address()), etcd.Auth("greeter", greeterPassword), registry.Timeout(unhurried))
	const ttl = 10 * time.Second // time enough to tell it
	require.NoError(t, greeter.Register(service("greeter", "1", "a"), registry.RegisterTTL(ttl)))
	changes := root.Watch(t.Context(), "/micro/registry/greeter/a")
	shell(t, commands(t, "roles.md", "Change a password"), append(passwords(s), "NEW_PASSWORD=new-hunter2")...)
	require.NoError(t, greeter.Init(etcd.Auth("greeter", "new-hunter2")))
	select {
	case change := <-changes:
		require.Fail(t, "the record was touched", "%+v", change.Events)
	case <-time.After(ttl + lifetime):
	}
	require.NoError(t, greeter.Register(service("greeter", "2", "a"), registry.RegisterTTL(ttl)))
	require.Equal(t, []string{"a@2"}, found(t, greeter, "greeter"))
}

// A bcrypt and a proposal for each heartbeat sank clusters (go-micro#2821).
func TestNothingAuthenticatesOnACadence(t *testing.T) {
	t.Parallel()
	s, _ := ruled(t, usual)
	greeter := open(t, registry.Addrs(s.address()), etcd.Auth("greeter", greeterPassword), registry.Timeout(unhurried))
	client := open(t, registry.Addrs(s.address()), etcd.Auth("client", clientPassword), registry.Timeout(unhurried))
	require.NoError(t, greeter.Register(service("greeter", "1", "a"), registry.RegisterTTL(lifetime)))
	reaches(t, client, "greeter", "a@1")
	watch(t, client, "greeter")
	eventually(t, func() bool { return s.watches(t) >= 2 }, "the key and the directory are watched")

	eventually(t, func() bool {
		return s.counted(t, "grpc_server_started_total", `grpc_method="LeaseKeepAlive"`) > 0
	}, "the lease is renewed")

	authentications := func() int { return s.counted(t, "grpc_server_started_total", `grpc_method="Authenticate"`) }
	before := authentications()
	require.Positive(t, before)
	beat := time.NewTicker(lifetime / 3)
	defer beat.Stop()
	for range 12 { // four lifetimes
		<-beat.C
		require.NoError(t, greeter.Register(service("greeter", "1", "a"), registry.RegisterTTL(lifetime)))
		require.Equal(t, []string{"a@1"}, found(t, client, "greeter"))
	}
	require.Equal(t, before, authentications())
}

func TestUsersByCertificate(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	cert, key := a.issue(t, "etcd-server")
	s := secured(t, a, true, cert, key)
	rootCert, rootKey := a.issue(t, "root")
	asRoot := append(passwords(s), "ETCDCTL_ENDPOINTS=https://"+s.address(),
		"ETCDCTL_CACERT="+a.ca(), "ETCDCTL_CERT="+rootCert, "ETCDCTL_KEY="+rootKey)
	shell(t, `etcdctl role add provide-greeter
		etcdctl role grant-permission provide-greeter --prefix=true readwrite /micro/registry/greeter/
		etcdctl role add discover
		etcdctl role grant-permission discover --prefix=true read /micro/registry/
		etcdctl user add client --no-password && etcdctl user grant-role client discover
		etcdctl user add root --no-password && etcdctl user grant-role "root" root`, asRoot...)
	shell(t, commands(t, "roles.md", "Users by certificate"), asRoot...)
	shell(t, "etcdctl auth enable", asRoot...)

	cert, key = a.issue(t, "greeter")
	greeter := open(t, registry.Addrs(s.address()), etcd.TLSFiles(a.ca(), cert, key), registry.Timeout(unhurried))
	cert, key = a.issue(t, "client")
	exercise(t, "greeter", greeter, open(t, registry.Addrs(s.address()), etcd.TLSFiles(a.ca(), cert, key)))
	soonDenied(t, "another directory", func() error { _, err := greeter.GetService("other"); return err })
	cert, key = a.issue(t, "nobody")
	nobody := open(t, registry.Addrs(s.address()), etcd.TLSFiles(a.ca(), cert, key), registry.Timeout(unhurried))
	soonDenied(t, "nobody", func() error { _, err := nobody.GetService("greeter"); return err })

	pair, err := tls.LoadX509KeyPair(rootCert, rootKey)
	require.NoError(t, err)
	config := tlsConfig(t, a)
	config.Certificates = []tls.Certificate{pair}
	root := newClient(t, clientv3.Config{Endpoints: []string{"https://" + s.address()}, TLS: config})
	require.NoError(t, greeter.Register(service("greeter", "1", "a"), registry.RegisterTTL(time.Minute)))
	_, err = root.Delete(soon(t), "/micro/registry/greeter/a")
	require.NoError(t, err)
	eventually(t, func() bool {
		answer, err := root.Get(soon(t), "/micro/registry/greeter/a")
		return err == nil && len(answer.Kvs) == 1
	}, "it heals")
}

func TestTenantsDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	s := startServer(t, usual)
	env := append(passwords(s), "BLUE_PASSWORD=blue-hunter2", "GREEN_PASSWORD=green-hunter2")
	shell(t, commands(t, "roles.md", "Tenants"), env...)
	shell(t, commands(t, "roles.md", "Set it up"), env...)
	tenant := func(user, prefix string) registry.Registry {
		return open(
			t, registry.Addrs(s.address()), etcd.Auth(user, user+"-hunter2"), etcd.Prefix(prefix), registry.Timeout(unhurried),
		)
	}
	blue, green := tenant("blue", "/blue/registry/"), tenant("green", "/green/registry/")
	all, err := blue.Watch()
	require.NoError(t, err)
	t.Cleanup(all.Stop)
	require.NoError(t, green.Register(service("greeter", "1", "g"), registry.RegisterTTL(time.Minute)))
	require.NoError(t, blue.Register(service("greeter", "1", "b"), registry.RegisterTTL(time.Minute)))
	require.Equal(t, "create b@1", next(t, all))
	for who, want := range map[registry.Registry]string{blue: "b@1", green: "g@1"} {
		require.Equal(t, []string{want}, found(t, who, "greeter"))
		services, err := who.ListServices()
		require.NoError(t, err)
		require.Equal(t, []string{want}, idsOf(services))
	}
	intruder := tenant("blue", "/green/registry/")
	soonDenied(t, "another tenant", func() error { _, err := intruder.GetService("greeter"); return err })
	soonDenied(t, "another tenant", func() error {
		return intruder.Register(service("greeter", "1", "g"), registry.RegisterTTL(time.Minute))
	})
}
