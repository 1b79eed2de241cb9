package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// dnsName is where a service is whose name has no slash.
func dnsName(service string) string { return service + ".service.micro.internal" }

// awaitAnswers waits until there is a number of addresses.
func (d *dnsServer) awaitAnswers(tb testing.TB, service string, want int) {
	tb.Helper()
	eventually(tb, func() bool {
		r, err := query(tb.Context(), d.port, dnsName(service))
		require.NoError(tb, err)
		return r.answers == want
	}, "%s has %d:\n%s", service, want, d.log)
}

// TestDNSFollowsAnEtcdWithTLSAndUsers has the users of docs/roles.md. After etcd's restart their tokens are no good.
func TestDNSFollowsAnEtcdWithTLSAndUsers(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	cert, key := a.issue(t, "server")
	s := secured(t, a, false, cert, key)
	env := append(passwords(s), "ETCDCTL_ENDPOINTS=https://"+s.address(), "ETCDCTL_CACERT="+a.ca())
	shell(t, commands(t, "roles.md", "Set it up"), env...)
	r := open(t, registry.Addrs(s.address()), etcd.TLSFiles(a.ca(), "", ""), etcd.Auth("greeter", greeterPassword))
	require.NoError(t, r.Register(nodesAt("greeter", "1", "10.0.0.1:8001")))
	as := func(user, password string) []string {
		file := filepath.Join(t.TempDir(), "password")
		require.NoError(t, os.WriteFile(file, []byte(password), 0o600))
		return []string{"--cacert", a.ca(), "--user", user, "--password-file", file}
	}
	for says, args := range map[string][]string{
		"user name is empty":                     {"--cacert", a.ca()},
		"certificate signed by unknown":          {"--secure", "--timeout", "1s"},
		"authentication failed, invalid user ID": as("client", "wrong"),
		"permission denied":                      as("greeter", greeterPassword),
	} {
		d := newDNS(t, s, args...)
		d.start(t)
		d.says(t, says)
		answer, err := query(t.Context(), d.port, dnsName("greeter"))
		require.NoError(t, err)
		require.Equal(t, dnsmessage.RCodeServerFailure, answer.code, says)
		d.stop()
	}

	d := startDNS(t, s, as("client", clientPassword)...)
	asking := startStream(t, d, dnsName("greeter"))
	s.kill()
	awaitStale(t, d, dnsName("greeter"), true)
	s.start(t)
	awaitStale(t, d, dnsName("greeter"), false)
	asking.end()
	require.Empty(t, asking.failed)
	require.NoError(t, r.Register(nodesAt("greeter", "1", "10.0.0.2:8001")))
	d.awaitAnswers(t, "greeter", 2)
}

// TestDNSFollowsAClusterOfWhichAMemberIsKilled kills each of three, so also the one that is followed, under queries.
func TestDNSFollowsAClusterOfWhichAMemberIsKilled(t *testing.T) {
	t.Parallel()
	members := startCluster(t, usual, 3)
	r := open(t, registry.Addrs(strings.Split(addresses(members), ",")...))
	require.NoError(t, r.Register(greeterService("10.0.0.1:8001"), registry.RegisterTTL(time.Minute)))
	d := startDNS(t, members[0], "-a", members[1].address(), "-a", members[2].address())
	asking := startStream(t, d, greeterName)
	for i, m := range members {
		m.kill()
		name := fmt.Sprint("after-", i)
		require.NoError(t, r.Register(nodesAt(name, "1", "10.0.0.2:8002"), registry.RegisterTTL(time.Minute)))
		d.awaitAnswers(t, name, 1)
		awaitStale(t, d, greeterName, false)
		m.start(t)
		m.awaitHealth(t)
	}
	asking.end()
	require.Empty(t, asking.failed)
	require.Greater(t, asking.asked, 100)
}

// TestDNSIsRightAfterARestore: nothing that is registered is told as missing, even if it came after the backup.
func TestDNSIsRightAfterARestore(t *testing.T) {
	t.Parallel()
	s := startCluster(t, usual, 1)[0]
	dir := t.TempDir()
	backup := "BACKUP=" + filepath.Join(dir, "backup.db")
	r, ghost := open(t, registry.Addrs(s.address())), open(t, registry.Addrs(s.address()))
	register := func(r registry.Registry, name string, ttl time.Duration) {
		t.Helper()
		require.NoError(t, r.Register(nodesAt(name, "1", "10.0.0.1:8001"), registry.RegisterTTL(ttl)))
	}
	register(r, "before", time.Minute)
	register(ghost, "ghost", lifetime)
	d := startDNS(t, s)
	shell(t, commands(t, "operations.md", "Back up"), backup, "ONE="+s.address())
	require.NoError(t, ghost.Deregister(nodesAt("ghost", "1", "10.0.0.1:8001")))
	register(r, "after", time.Minute)
	d.awaitAnswers(t, "after", 1)
	d.awaitAnswers(t, "ghost", 0)

	before, after := startStream(t, d, dnsName("before")), startStream(t, d, dnsName("after"))
	s.kill()
	restored := filepath.Join(dir, "restored")
	shell(t, commands(t, "operations.md", "Restore"), backup, "NEW_DIR="+restored, "NAME="+s.name(),
		"CLUSTER="+peers([]*server{s}), "TOKEN=restored", "PEER_URL=http://"+loopback(s.peer))
	s.args = append(s.args, "--data-dir", restored)
	s.start(t)
	d.awaitAnswers(t, "ghost", 1)
	d.awaitAnswers(t, "ghost", 0) // its lease is over
	awaitStale(t, d, dnsName("after"), false)
	register(r, "later", time.Minute)
	d.awaitAnswers(t, "later", 1)
	for _, asking := range []*stream{before, after} {
		asking.end()
		require.Empty(t, asking.failed)
		require.Greater(t, asking.asked, 100)
	}
	require.NoError(t, r.Deregister(nodesAt("after", "1", "10.0.0.1:8001")))
	d.awaitAnswers(t, "after", 0)
}

func TestTwoDNSServersShareACacheDirectory(t *testing.T) {
	t.Parallel()
	s := startServer(t, usual)
	r := open(t, registry.Addrs(s.address()))
	dir := t.TempDir()
	require.NoError(t, r.Register(nodesAt("first", "1", "10.0.0.1:8001"), registry.RegisterTTL(time.Minute)))
	both := []*dnsServer{startDNS(t, s, "--cache-dir", dir), startDNS(t, s, "--cache-dir", dir)}
	names := []string{"first"}
	awaitAll := func(why int) {
		t.Helper()
		for _, d := range both {
			for _, name := range names {
				eventually(t, func() bool {
					answer, err := query(t.Context(), d.port, dnsName(name))
					return err == nil && answer.answers == 1 && answer.why == why
				}, "%s with error %d:\n%s", name, why, d.log)
			}
		}
	}
	for _, name := range []string{"second", "third"} {
		names = append(names, name)
		require.NoError(t, r.Register(nodesAt(name, "1", "10.0.0.1:8001"), registry.RegisterTTL(time.Minute)))
		awaitAll(-1)
		for _, d := range both {
			require.NoError(t, d.Process.Signal(syscall.SIGTERM)) // which saves it, both at a time
		}
		for _, d := range both {
			<-d.done
		}
		files, err := os.ReadDir(filepath.Join(dir, "micro-etcd"))
		require.NoError(t, err)
		require.Len(t, files, 1, "nothing is left behind")
		s.kill()
		for _, d := range both {
			d.start(t)
		}
		awaitAll(staleAnswer)
		s.start(t)
		s.awaitHealth(t)
	}
	awaitAll(-1)
}

// TestDNSGoesOnWithoutRoomForItsFile: no file may grow, as on a full disk.
func TestDNSGoesOnWithoutRoomForItsFile(t *testing.T) {
	t.Parallel()
	s := startServer(t, usual)
	r := open(t, registry.Addrs(s.address()))
	require.NoError(t, r.Register(nodesAt("first", "1", "10.0.0.1:8001"), registry.RegisterTTL(time.Minute)))
	dir := t.TempDir()
	d := newDNS(t, s, "--cache-dir", dir)
	d.line = append([]string{"prlimit", "--fsize=0", "--"}, d.line...)
	d.start(t)
	d.says(t, "can't be kept in "+dir)
	d.says(t, "file too large")
	require.NoError(t, r.Register(nodesAt("second", "1", "10.0.0.1:8001"), registry.RegisterTTL(time.Minute)))
	for _, name := range []string{"first", "second"} {
		d.awaitAnswers(t, name, 1)
	}
	d.stop() // which tries again
	require.Equal(t, 1, strings.Count(d.log.String(), "can't be kept"), d.log)
	files, err := os.ReadDir(filepath.Join(dir, "micro-etcd"))
	require.NoError(t, err)
	require.Empty(t, files)
}
