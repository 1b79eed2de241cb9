package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/leak"
)

const (
	patience = 30 * time.Second
	prefix   = etcd.DefaultPrefix
)

func TestMain(m *testing.M) { leak.Verify(m) }

// silent keeps registries from logging.
type silent struct{ logger.Logger }

func (silent) Log(logger.Level, ...any)          {}
func (silent) Logf(logger.Level, string, ...any) {}

func examine(tb testing.TB, target Target, opts ...registry.Option) *Report {
	tb.Helper()
	target.Options = append(opts, registry.Logger(silent{logger.NewLogger(logger.WithOutput(io.Discard))}))
	if target.Timeout == 0 {
		target.Timeout = 2 * time.Second
	}
	r, err := Examine(tb.Context(), target)
	require.NoError(tb, err)
	return r
}

// found returns the findings of a check.
func (r *Report) found(check string) []Finding {
	var found []Finding
	for _, f := range r.Findings {
		if f.Check == check {
			found = append(found, f)
		}
	}
	return found
}

// only requires one finding of a check, which says all of the words.
func (r *Report) only(tb testing.TB, check string, severity Severity, words ...string) Finding {
	tb.Helper()
	found := r.found(check)
	require.Len(tb, found, 1, "%s: %+v", check, r.Findings)
	require.Equal(tb, severity.String(), found[0].Severity.String(), found[0].What)
	for _, word := range words {
		require.Contains(tb, found[0].What, word)
	}
	require.True(tb, strings.HasSuffix(found[0].What, "."))
	require.NotEmpty(tb, found[0].Advice)
	return found[0]
}

func put(tb testing.TB, c *clientv3.Client, key string, value any, opts ...clientv3.OpOption) {
	tb.Helper()
	text, ok := value.(string)
	if !ok {
		b, err := json.Marshal(value)
		require.NoError(tb, err)
		text = string(b)
	}
	_, err := c.Put(tb.Context(), prefix+key, text, opts...)
	require.NoError(tb, err)
}

func lease(tb testing.TB, c *clientv3.Client, ttl int64) clientv3.OpOption {
	tb.Helper()
	grant, err := c.Grant(tb.Context(), ttl)
	require.NoError(tb, err)
	return clientv3.WithLease(grant.ID)
}

func node(name, id, address string) *registry.Service {
	return &registry.Service{Name: name, Version: "1", Nodes: []*registry.Node{{Id: id, Address: address}}}
}

func revision(tb testing.TB, c *clientv3.Client) int64 {
	tb.Helper()
	got, err := c.Get(tb.Context(), "x")
	require.NoError(tb, err)
	return got.Header.Revision
}

func TestAHealthyEtcdHasNoFindings(t *testing.T) {
	cluster := etcdtest.StartCluster(t, 3)
	c := cluster.Client(t)
	r, err := etcd.New(registry.Addrs(cluster.Endpoints()...))
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	for i := range 3 {
		require.NoError(
			t, r.Register(node("shop/cart", fmt.Sprint("topic/", i), fmt.Sprint("h:", 1+i)), registry.RegisterTTL(time.Minute)),
		)
	}
	before := revision(t, c)
	report := examine(t, Target{Addresses: cluster.Endpoints()})
	require.Empty(t, report.Findings)
	require.Equal(t, []int{3, 3, 1, 3}, []int{report.Members, report.Reached, report.Services, report.Records})
	require.Equal(t, before, revision(t, c), "nothing was written")
	require.Equal(t, Info, report.Worst())
}

func TestAStoppedMemberIsNamedAndAMajorityIsMissed(t *testing.T) {
	cluster := etcdtest.StartCluster(t, 3)
	cluster.Members[2].Stop()
	some := cluster.Endpoints()[:2]
	report := examine(t, Target{Addresses: some})
	require.Empty(t, report.found("connection"), "its address wasn't given")
	report.only(t, "members", Warning, "member-3", cluster.Members[2].Endpoint())
	require.Equal(t, Warning, report.Worst())
	report = examine(t, Target{Addresses: cluster.Endpoints()})
	report.only(t, "connection", Warning, cluster.Members[2].Endpoint(), "connection refused")

	cluster.Members[1].Stop()
	require.Eventually(t, func() bool { // until the last one has noticed
		report = examine(t, Target{Addresses: cluster.Endpoints()[:1], Timeout: time.Second})
		return len(report.found("leader")) == 1
	}, patience, 10*time.Millisecond)
	report.only(t, "leader", Critical, "member-1", "no leader")
	require.Equal(t, Critical, report.found("members")[0].Severity)
	require.Contains(t, report.found("members")[0].What, "1 of 3 voting members")
	require.NotEmpty(t, report.found("lookup"))
}

func TestAnEtcdOutOfReachIsReportedInTheRegistrysWords(t *testing.T) {
	srv := etcdtest.Start(t)
	report := examine(t, Target{Addresses: []string{"https://" + srv.Endpoint()}, Timeout: time.Second})
	report.only(t, "connection", Critical, "https://"+srv.Endpoint(), "authentication handshake failed")
	srv.Stop()
	r, err := etcd.New(
		registry.Addrs(srv.Endpoint()), registry.Timeout(time.Second), registry.Logger(silent{logger.DefaultLogger}),
	)
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	_, want := r.ListServices()
	report = examine(t, Target{Addresses: srv.Endpoints(), Timeout: time.Second})
	report.only(t, "connection", Critical, strings.TrimPrefix(want.Error(), "list services: "))

	_, err = Examine(t.Context(), Target{Addresses: []string{"a:b:c"}})
	require.ErrorIs(t, err, etcd.ErrAddress)
}

func TestMembersOfDifferentClustersAreTold(t *testing.T) {
	one, two := etcdtest.Start(t), etcdtest.Start(t)
	report := examine(t, Target{Addresses: []string{one.Endpoint(), two.Endpoint()}})
	report.only(t, "cluster", Critical, one.Endpoint(), two.Endpoint())
}

func TestAMemberThatWasNeverStartedIsTold(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	_, err := c.MemberAddAsLearner(t.Context(), []string{"http://127.0.0.1:1"})
	require.NoError(t, err)
	examine(t, Target{Addresses: srv.Endpoints()}).only(t, "members", Warning, "never been started", "http://127.0.0.1:1")
}

func TestAServiceWithoutRecordsIsTold(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	put(t, c, "junk/1", "junk")
	put(t, c, "a-b/1", node("a-b", "1", "h:1"), lease(t, c, 60))
	for service, nothing := range map[string]bool{"nosuch": true, "a/b": true, "a-b": false, "junk": false, "": false} {
		report := examine(t, Target{Addresses: srv.Endpoints(), Service: service})
		if nothing {
			report.only(t, "no-records", Info, "ervice "+service+" has no records")
		} else {
			require.Empty(t, report.found("no-records"), service)
		}
	}
}

func TestAFullEtcdIsTold(t *testing.T) {
	srv := etcdtest.Start(t, func(c *embed.Config) { c.QuotaBackendBytes = 1 << 20 })
	c := srv.Client(t)
	require.Eventually(t, func() bool {
		_, err := c.Put(t.Context(), "/filler", strings.Repeat("x", 100_000))
		return err != nil && strings.Contains(err.Error(), "space exceeded")
	}, patience, time.Millisecond)
	var report *Report
	require.Eventually(t, func() bool { // the alarm goes through raft
		report = examine(t, Target{Addresses: srv.Endpoints()})
		return len(report.found("alarm")) > 0
	}, patience, 10*time.Millisecond)
	report.only(t, "alarm", Critical, "NOSPACE")
	report.only(t, "space", Critical, "of its quota")
	report.only(t, "permission", Critical, "space exceeded")
	require.Empty(t, report.found("lookup"))
}

// withRoles switches authentication on: "provider" may read and write greeter, "consumer" read it, "writer" write it,
// "nobody" nothing, and "lister" read everything.
func withRoles(tb testing.TB, c *clientv3.Client) {
	tb.Helper()
	ctx := tb.Context()
	for user, grant := range map[string]struct {
		dir string
		may clientv3.PermissionType
	}{
		"provider": {prefix + "greeter/", clientv3.PermissionType(clientv3.PermReadWrite)},
		"consumer": {prefix + "greeter/", clientv3.PermissionType(clientv3.PermRead)},
		"writer":   {prefix + "greeter/", clientv3.PermissionType(clientv3.PermWrite)},
		"lister":   {prefix, clientv3.PermissionType(clientv3.PermRead)},
		"nobody":   {}, "root": {},
	} {
		_, err := c.UserAdd(ctx, user, "pw")
		require.NoError(tb, err)
		_, err = c.RoleAdd(ctx, user)
		require.NoError(tb, err)
		if grant.dir != "" {
			_, err = c.RoleGrantPermission(ctx, user, grant.dir, clientv3.GetPrefixRangeEnd(grant.dir), grant.may)
			require.NoError(tb, err)
		}
		_, err = c.UserGrantRole(ctx, user, user)
		require.NoError(tb, err)
	}
	_, err := c.AuthEnable(ctx)
	require.NoError(tb, err)
}

func TestMissingPermissionsAreToldAndNothingIsWritten(t *testing.T) {
	srv := etcdtest.Start(t, func(c *embed.Config) { c.BcryptCost = 4 })
	c := srv.Client(t)
	put(t, c, "greeter/1", node("greeter", "1", "h:1"), lease(t, c, 60))
	before := revision(t, c)
	withRoles(t, c)
	as := func(user, service string) *Report {
		return examine(t, Target{Addresses: srv.Endpoints(), Service: service}, etcd.Auth(user, "pw"))
	}
	require.Empty(t, as("root", "").Findings)
	require.Empty(t, as("provider", "greeter").Findings)
	as("consumer", "greeter").only(t, "permission", Info, "may read but not write /micro/registry/greeter/")
	as("lister", "").only(t, "permission", Info, "may read but not write /micro/registry/")
	as("writer", "greeter").only(t, "permission", Critical, "may write but not read /micro/registry/greeter/")
	as("nobody", "greeter").only(t, "permission", Critical, "may neither read nor write /micro/registry/greeter/")
	as("consumer", "").only(t, "permission", Warning, "can't list or watch all")
	as("consumer", "other").only(t, "permission", Critical, "may neither")
	for _, user := range []string{"consumer", "lister", "nobody", "writer"} {
		require.Empty(t, as(user, "greeter").found("lookup"), "the permission says it")
	}
	report := examine(t, Target{Addresses: srv.Endpoints()})
	require.Equal(t, Critical, report.Worst())
	require.Contains(t, report.Findings[0].What, "user name is empty")
	report = examine(t, Target{Addresses: srv.Endpoints()}, etcd.Auth("root", "wrong"))
	require.Contains(t, report.Findings[0].What, "authentication failed")

	root, err := clientv3.New(clientv3.Config{Endpoints: srv.Endpoints(), Username: "root", Password: "pw"})
	require.NoError(t, err)
	defer func() { _ = root.Close() }()
	require.Equal(t, before, revision(t, root), "nothing was written")
}

func TestWhatIsWrongWithRecordsIsTold(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	minute := lease(t, c, 60)
	put(t, c, "greeter/junk", "junk", minute)
	put(t, c, "a-b/1", node("a-b", "1", "h:1"), minute)
	put(t, c, "a-b/2", node("a/b", "2", "h:1"), minute)
	put(t, c, "greeter/elsewhere", node("greeter", "3", "h:3"), minute)
	put(t, c, "greeter/forever", node("greeter", "forever", "h:4"))
	put(t, c, "broker/topic/1", node("broker", "topic/1", "h:5"), minute)
	put(t, c, "broker/topic-1", node("broker", "topic/1", "h:5"), minute) // as the official plugin does it
	put(t, c, "mail/1", node("mail", "1", "h:6"), minute)
	put(t, c, "mail/2", node("mail", "2", "h:6"), minute)
	described := node("mail", "3", "h:7")
	described.Metadata = map[string]string{"team": "blue"}
	put(t, c, "mail/3", described, minute)
	grant, err := c.Grant(t.Context(), 60)
	require.NoError(t, err)
	big, giant := node("big", "1", "h:8"), node("big", "2", "h:9")
	big.Nodes[0].Metadata = map[string]string{"x": strings.Repeat("x", 70_000)}
	giant.Nodes[0].Metadata = map[string]string{"x": strings.Repeat("x", 1_400_000)}
	put(t, c, "big/1", big, minute)
	put(t, c, "big/2", giant, minute)

	report := examine(t, Target{Addresses: srv.Endpoints()})
	report.only(t, "malformed", Warning, prefix+"greeter/junk", "invalid character")
	report.only(t, "collision", Warning, "a-b, a/b", prefix+"a-b/")
	report.only(t, "misplaced", Warning, prefix+"greeter/elsewhere holds the node 3")
	report.only(t, "no-lease", Warning, prefix+"greeter/forever")
	report.only(t, "double-id", Warning, "topic/1", "broker/topic-1")
	require.Len(t, report.found("shared-id"), 3)
	report.only(t, "double-address", Warning, "h:6", "1, 2", "mail")
	report.only(t, "plugin-key", Info, "broker/topic-1")
	report.only(t, "plugin-profile", Info, "mail", "2 ways")
	report.only(t, "empty-lease", Info, fleet.LeaseName(grant.ID))
	require.Len(t, report.found("size"), 2)
	require.Equal(t, Critical, report.Findings[0].Severity)
	require.Contains(t, report.Findings[0].What, prefix+"big/2 has 1367 KiB")
	require.Empty(t, report.found("expiring"))

	b, err := json.Marshal(report)
	require.NoError(t, err)
	require.Contains(t, string(b), `"severity":"critical"`)
	only := examine(t, Target{Addresses: srv.Endpoints(), Service: "mail"})
	require.Equal(t, 3, only.Records)
	require.Len(t, only.Findings, 2)
}

func TestAddressesThatNobodyCanCallAreTold(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	minute := lease(t, c, 60)
	addresses := []string{
		// nobody
		"", ":80", "h:0", "h:70000", "h:", "0.0.0.0:80", "[::]:80", "::1", "[::%eth0]:80", "http://0.0.0.0:80", "http://:80",
		// who is on the same machine
		"127.0.0.1:80", "LOCALHOST:80", "localhost.:80", "a.localhost:80", "[::1]:80", "[::ffff:127.0.0.2]:80",
		"https://localhost",
		"10.0.0.1:80", "h:80", "h:http", "[fe80::1%eth0]:80", "http://h/x", "dns:foo", // some
		"/run/x.sock", "unix:///run/x", "h", "memory-1", "@abstract", // who has a transport for it
	}
	for i, address := range addresses {
		put(t, c, fmt.Sprint("greeter/", i), node("greeter", fmt.Sprint(i), address), minute)
	}
	put(t, c, "local/other", node("local", "other", "localhost:81"), minute)
	report := examine(t, Target{Addresses: srv.Endpoints()})
	f := report.only(t, "address", Warning, "11 records have", `greeter/0 ("" is empty)`)
	require.Len(t, f.Subjects, 11)
	f = report.only(t, "loopback", Info, "service greeter 7 nodes are", "6 elsewhere")
	require.Len(t, f.Subjects, 7)
	require.Len(t, report.Findings, 2)
}

func TestALeaseThatNobodyRenewsIsTold(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	put(t, c, "greeter/1", node("greeter", "1", "h:1"), lease(t, c, 6))
	var report *Report
	require.Eventually(t, func() bool {
		report = examine(t, Target{Addresses: srv.Endpoints()})
		return len(report.found("expiring")) > 0
	}, patience, 50*time.Millisecond)
	report.only(t, "expiring", Warning, prefix+"greeter/1", "1s")
}

func TestThousandsOfMalformedRecordsAreAFewFindings(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	for i := range 30 {
		put(t, c, fmt.Sprintf("greeter/%02d", i), "junk")
	}
	found := examine(t, Target{Addresses: srv.Endpoints()}).found("malformed")
	require.Len(t, found, maxEach+1)
	require.Len(t, found[maxEach].Subjects, 10)
}

func TestTheDocumentationKnowsEveryCheck(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "command.md"))
	require.NoError(t, err)
	for _, c := range checks {
		require.Contains(t, string(page), "`"+c.name+"`")
	}
}

func TestAnExaminationEndsWithItsContext(t *testing.T) {
	srv := etcdtest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Examine(
		ctx, Target{Addresses: srv.Endpoints(), Options: []registry.Option{registry.Logger(silent{logger.DefaultLogger})}},
	)
	require.ErrorIs(t, err, context.Canceled)
}

func TestEachVisitIsTold(t *testing.T) {
	srv := etcdtest.Start(t)
	var told [][2]int
	examine(t, Target{Addresses: []string{srv.Endpoint(), "127.0.0.1:1"}, Progress: func(what string, done, all int) {
		if what == "visiting members" {
			told = append(told, [2]int{done, all})
		}
	}})
	require.Equal(t, [][2]int{{1, 2}, {2, 2}}, told)
}

func TestServicesThatDNSCannotNameAreToldToWhoWantsToKnow(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	for i, name := range []string{
		"greeter", "Greeter", "go.micro.mail", "a..b", "x._tcp", "a/b-c", "a-b/c", strings.Repeat("l", 64),
	} {
		id := fmt.Sprint(i)
		put(t, c, strings.ReplaceAll(name, "/", "-")+"/"+id, node(name, id, "h:1"), lease(t, c, 60))
	}
	found := examine(t, Target{Addresses: srv.Endpoints()}).found("dns-name")
	require.Len(t, found, 3)
	require.Equal(t, []string{"Greeter", "greeter"}, found[0].Subjects)
	require.Equal(t, []string{"a-b/c", "a/b-c"}, found[1].Subjects)
	require.Equal(t, []string{"a..b", strings.Repeat("l", 64), "x._tcp"}, found[2].Subjects)
}
