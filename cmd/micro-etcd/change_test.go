package main

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleettest"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

const legacyKey = etcd.DefaultPrefix + "legacy/l-1"

var registerLegacy = []string{
	"register", "--service", "legacy", "--version", "2", "--node", "l-1", "--address", "10.0.0.7:80", "--metadata",
	"a=b=c",
}

func TestNothingIsDoneUnasked(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	_, said := must(t, app.ExitFailed, srv, registerLegacy...)
	require.Contains(t, said, "--yes")
	for _, answer := range []string{"n\n", "\n", "", "yeah\n"} {
		r := start(t, srv, strings.NewReader(answer), append(registerLegacy, "--ttl", "0")...)
		require.Equal(t, app.ExitNo, r.wait(), answer)
		require.True(t, strings.HasSuffix(r.err.String(), "micro-etcd: nothing registered\n"), r.err.String())
	}
	require.Empty(t, fleettest.Get(t, c, legacyKey))

	fleettest.Put(t, c, legacyKey, "junk")
	must(t, app.ExitFailed, srv, "deregister", "--record-key", legacyKey)
	r := start(t, srv, strings.NewReader("no\n"), "deregister", "--record-key", legacyKey)
	require.Equal(t, app.ExitNo, r.wait())
	require.True(t, strings.HasSuffix(r.err.String(), "micro-etcd: nothing removed\n"), r.err.String())
	require.Equal(t, "junk", fleettest.Get(t, c, legacyKey))
}

func TestDeregisterRemovesWhatNobodyOwns(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	fleettest.Put(t, c, etcd.DefaultPrefix+"greeter/80", fleettest.Stored(t, fleettest.Greeter("1", "80")))
	lease, err := c.Grant(t.Context(), 60)
	require.NoError(t, err)
	leased := fleettest.Stored(t, fleettest.Greeter("1", "81"))
	fleettest.Put(t, c, etcd.DefaultPrefix+"greeter/81", leased, clientv3.WithLease(lease.ID))

	r := start(t, srv, strings.NewReader("y\n"), "deregister", "greeter", "80")
	require.Equal(t, app.ExitOK, r.wait(), r.err.String())
	require.Contains(t, r.err.String(), "without a lease")
	_, said := must(t, app.ExitOK, srv, "deregister", "greeter", "81", "--yes")
	require.Contains(t, said, "lease "+fleet.LeaseName(lease.ID)+", ")
	require.Empty(t, as[[]service](t, srv, "services"))
	must(t, app.ExitNo, srv, "deregister", "greeter", "81", "--yes")
}

func TestDeregisterSaysThatALivingProcessPutsItBack(t *testing.T) {
	srv := etcdtest.Start(t)
	register(t, open(t, srv), fleettest.Greeter("1", "80"))
	_, said := must(t, app.ExitNo, srv, "deregister", "greeter", "80", "--yes")
	require.Regexp(t, `came back after \d+ ms, on lease [0-9a-f]+: its process lives`, said)
}

func TestDeregisterSaysThatItWasInterrupted(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	one, two := etcd.DefaultPrefix+"greeter/1", etcd.DefaultPrefix+"greeter/2"
	fleettest.Put(t, c, one, fleettest.Stored(t, fleettest.Greeter("1", "80")))
	fleettest.Put(t, c, two, fleettest.Stored(t, fleettest.Greeter("1", "80")))
	r := start(t, srv, nil, "deregister", "greeter", "80", "--yes")
	r.says("Removed " + two)
	require.Equal(t, app.ExitFailed, r.stop())
	for _, key := range []string{one, two} {
		require.Contains(t, r.err.String(), "interrupted before it was clear whether "+key+" comes back")
	}
}

// answers is a terminal at which something happens before the answer.
type answers func() string

func (a answers) Read(p []byte) (int, error) { return copy(p, a()), nil }

func TestDeregisterSaysThatALivingProcessPutsARecordWithoutATTLBack(t *testing.T) {
	srv := etcdtest.Start(t)
	require.NoError(t, open(t, srv).Register(fleettest.Greeter("1", "80")))
	_, said := must(t, app.ExitNo, srv, "deregister", "greeter", "80", "--yes")
	require.Regexp(t, `came back after \d+ ms, on lease [0-9a-f]+: its process lives`, said)
}

func TestDeregisterGoesOnAfterARecordThatStays(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	node := fleettest.Stored(t, fleettest.Greeter("1", "80"))
	one, two, three := etcd.DefaultPrefix+"greeter/1", etcd.DefaultPrefix+"greeter/2", etcd.DefaultPrefix+"greeter/3"
	fleettest.Put(t, c, one, node)
	fleettest.Put(t, c, two, node)
	fleettest.Put(t, c, three, node)
	junkThenYes := func() string { fleettest.Put(t, c, one, "junk"); fleettest.Put(t, c, two, "junk"); return "y\n" }
	r := start(t, srv, answers(junkThenYes), "deregister", "greeter", "80")
	require.Equal(t, app.ExitNo, r.wait())
	require.Contains(t, r.err.String(), one+" has changed since it was shown; ")
	require.Contains(t, r.err.String(), two+" has changed since it was shown")
	require.Equal(t, "junk", fleettest.Get(t, c, one))
	require.Empty(t, fleettest.Get(t, c, three))
}

func TestWhatHasChangedSinceItWasShownStays(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	fleettest.Put(t, c, legacyKey, "junk")
	for _, args := range [][]string{
		{"deregister", "--record-key", legacyKey},
		slices.Concat(registerLegacy, []string{"--ttl", "0"}),
		slices.Concat(registerLegacy, []string{"--ttl", "30s"}),
	} {
		r := start(t, srv, answers(func() string { fleettest.Put(t, c, legacyKey, "other junk"); return "y\n" }), args...)
		require.Equal(t, app.ExitNo, r.wait())
		require.Contains(t, r.err.String(), "has changed since it was shown")
		require.Equal(t, "other junk", fleettest.Get(t, c, legacyKey))
	}
}

func TestKeysAndNodesMayBeGivenAsTheyAreShown(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	key := etcd.DefaultPrefix + "gre\x1b[31meter\xff/\u202e"
	fleettest.Put(t, c, key, "junk")
	must(t, app.ExitOK, srv, "deregister", "--yes", "--record-key", output.Escape(key))
	require.Empty(t, fleettest.Get(t, c, key))

	s := fleettest.Greeter("1", "80")
	s.Name, s.Nodes[0].Id = "gr\teeter", "n\x1b"
	fleettest.Put(t, c, etcd.DefaultPrefix+s.Name+"/"+s.Nodes[0].Id, fleettest.Stored(t, s))
	must(t, app.ExitOK, srv, "deregister", "--yes", `gr\teeter`, `n\x1b`)
	require.Empty(t, as[[]service](t, srv, "services"))

	must(t, app.ExitFailed, srv, "deregister", "--yes", "--record-key", "/elsewhere")
	must(t, app.ExitFailed, srv, "deregister", "--yes", "greeter")
	must(t, app.ExitFailed, srv, "deregister", "--yes", "greeter", "80", "--record-key", "k")
}

func TestADeniedSpellingDoesNotHideTheOther(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t, cheapPasswords)
	c := srv.Client(t)
	s := fleettest.Greeter("1", "80")
	s.Name = "gr\teeter"
	dir := etcd.DefaultPrefix + s.Name + "/"
	fleettest.Put(t, c, dir+"80", fleettest.Stored(t, s))
	fleettest.Put(t, c, dir+"junk", "junk")
	_, err := c.UserAdd(t.Context(), "tab", "pw")
	require.NoError(t, err)
	_, err = c.RoleAdd(t.Context(), "tab")
	require.NoError(t, err)
	_, err = c.RoleGrantPermission(
		t.Context(), "tab", dir, clientv3.GetPrefixRangeEnd(dir), clientv3.PermissionType(clientv3.PermReadWrite),
	)
	require.NoError(t, err)
	_, err = c.UserGrantRole(t.Context(), "tab", "tab")
	require.NoError(t, err)
	withRoles(t, srv)

	deregister := []string{"deregister", "--user", "tab", "--password-file", passwordFile(t), "--yes"}
	must(t, app.ExitOK, srv, append(deregister, `gr\teeter`, "80")...)
	must(t, app.ExitOK, srv, append(deregister, "--record-key", output.Escape(dir+"junk"))...)
	_, said := must(t, app.ExitFailed, srv, append(deregister, "greeter", "80")...)
	require.Contains(t, said, "permission denied")
}

func TestDeregisterOfManyAsksOnce(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	for i := range 30 {
		s := fleettest.Greeter("1", strconv.Itoa(100+i))
		s.Nodes[0].Metadata["rack"] = strconv.Itoa(i % 2)
		fleettest.Lasting(t, c, s)
	}
	fleettest.Lasting(t, c, fleettest.Greeter("2", "200"))
	register(t, open(t, srv), fleettest.Greeter("2", "201"))
	r := start(t, srv, strings.NewReader("n\n"), "deregister", "greeter", "--version", "1")
	require.Equal(t, app.ExitNo, r.wait())
	require.Contains(t, r.err.String(), "\nand 10 records more\nRemove 30 records? [y/N] ")
	began := time.Now()
	_, said := must(t, app.ExitOK, srv, "deregister", "greeter", "-l", "rack=1", "--version", "1", "--yes")
	require.Equal(t, 15, strings.Count(said, "Removed "))
	require.Less(t, time.Since(began), 15*time.Second, "whether they come back is looked for at one time")
	require.Equal(t, 17, as[[]service](t, srv, "services")[0].Nodes)
	_, said = must(t, app.ExitNo, srv, "deregister", "greeter", "--all", "--yes")
	require.Equal(t, 17, strings.Count(said, "Removed "))
	require.Contains(t, said, "greeter/201 came back")
	require.Equal(t, 1, as[[]service](t, srv, "services")[0].Nodes)
	must(t, app.ExitFailed, srv, "deregister", "greeter", "80", "--all", "--yes")
	must(t, app.ExitFailed, srv, "deregister", "--record-key", "k", "--all", "--yes")
}
