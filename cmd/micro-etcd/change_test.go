package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/iostreams"
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
	_, said := must(t, exitFailed, srv, registerLegacy...)
	require.Contains(t, said, "--yes")
	for _, answer := range []string{"n\n", "\n", "", "yeah\n"} {
		r := start(t, srv, strings.NewReader(answer), append(registerLegacy, "--ttl", "0")...)
		require.Equal(t, exitNo, r.wait(), answer)
		require.True(t, strings.HasSuffix(r.err.String(), "micro-etcd: nothing registered\n"), r.err.String())
	}
	require.Empty(t, get(t, c, legacyKey))

	put(t, c, legacyKey, "junk")
	must(t, exitFailed, srv, "deregister", "--record-key", legacyKey)
	r := start(t, srv, strings.NewReader("no\n"), "deregister", "--record-key", legacyKey)
	require.Equal(t, exitNo, r.wait())
	require.True(t, strings.HasSuffix(r.err.String(), "micro-etcd: nothing removed\n"), r.err.String())
	require.Equal(t, "junk", get(t, c, legacyKey))
}

func TestDeregisterRemovesWhatNobodyOwns(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	put(t, c, etcd.DefaultPrefix+"greeter/80", stored(t, greeter("1", "80")))
	lease, err := c.Grant(t.Context(), 60)
	require.NoError(t, err)
	put(t, c, etcd.DefaultPrefix+"greeter/81", stored(t, greeter("1", "81")), clientv3.WithLease(lease.ID))

	r := start(t, srv, strings.NewReader("y\n"), "deregister", "greeter", "80")
	require.Equal(t, exitOK, r.wait(), r.err.String())
	require.Contains(t, r.err.String(), "without a lease")
	_, said := must(t, exitOK, srv, "deregister", "greeter", "81", "--yes")
	require.Contains(t, said, "lease "+fleet.LeaseName(lease.ID)+", ")
	require.Empty(t, as[[]service](t, srv, "services"))
	must(t, exitNo, srv, "deregister", "greeter", "81", "--yes")
}

func TestDeregisterSaysThatALivingProcessPutsItBack(t *testing.T) {
	srv := etcdtest.Start(t)
	register(t, open(t, srv), greeter("1", "80"))
	_, said := must(t, exitNo, srv, "deregister", "greeter", "80", "--yes")
	require.Regexp(t, `came back after \d+ ms, on lease [0-9a-f]+: its process lives`, said)
}

// deafWatcher is a client's watcher that hears a response and then nothing more.
type deafWatcher struct {
	clientv3.Watcher
	heard []clientv3.WatchResponse
}

func (w deafWatcher) Watch(context.Context, string, ...clientv3.OpOption) clientv3.WatchChan {
	ended := make(chan clientv3.WatchResponse, len(w.heard))
	for _, response := range w.heard {
		ended <- response
	}
	close(ended)
	return ended
}

func TestDeregisterSaysThatItCouldNotLookWhetherARecordComesBack(t *testing.T) {
	srv := etcdtest.Start(t)
	for want, heard := range map[string][]clientv3.WatchResponse{
		"the watch ended": nil,
		"compacted":       {{Canceled: true, CompactRevision: 7}},
	} {
		c := srv.Client(t)
		put(t, c, legacyKey, "junk")
		c.Watcher = deafWatcher{c.Watcher, heard}
		source := fleet.Source{Client: c}
		shown, err := source.Key(t.Context(), legacyKey)
		require.NoError(t, err)
		a := &app{Streams: iostreams.Streams{Err: io.Discard}, flags: connect.Flags{Timeout: patience}}
		err = a.remove(t.Context(), source, shown)
		require.ErrorContains(t, err, "could not look whether "+legacyKey+" comes back")
		require.ErrorContains(t, err, want)
		require.Equal(t, exitFailed, exitOf(err).code)
	}
}

// silentWatcher is a client's watcher whose connection is lost: it hears nothing as long as it is asked.
type silentWatcher struct{ clientv3.Watcher }

func (silentWatcher) Watch(ctx context.Context, _ string, _ ...clientv3.OpOption) clientv3.WatchChan {
	ended := make(chan clientv3.WatchResponse)
	context.AfterFunc(ctx, func() { close(ended) })
	return ended
}

func TestDeregisterReadsOnceMoreBecauseAWatchMayHaveBeenDeaf(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	removed, err := c.Delete(t.Context(), legacyKey)
	require.NoError(t, err)
	source := fleet.Source{Client: c, Timeout: time.Second}
	c.Watcher = silentWatcher{c.Watcher}
	await := func() error { return requireGone(t.Context(), source, legacyKey, removed.Header.Revision) }
	require.NoError(t, await())
	put(t, c, legacyKey, "junk")
	err = await()
	require.EqualError(t, err, legacyKey+" is there again, without a lease: its process lives; stop that one")
	require.Equal(t, exitNo, exitOf(err).code)
	srv.Stop()
	err = await()
	require.ErrorContains(t, err, "could not look whether "+legacyKey+" comes back: ")
	require.Equal(t, exitFailed, exitOf(err).code)
}

func TestDeregisterSaysThatItWasInterrupted(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	one, two := etcd.DefaultPrefix+"greeter/1", etcd.DefaultPrefix+"greeter/2"
	put(t, c, one, stored(t, greeter("1", "80")))
	put(t, c, two, stored(t, greeter("1", "80")))
	r := start(t, srv, nil, "deregister", "greeter", "80", "--yes")
	r.says("Removed " + one)
	require.Equal(t, exitFailed, r.stop())
	require.Contains(
		t, r.err.String(), "micro-etcd: interrupted before it was clear whether "+one+" comes back; "+two+" stays\n",
	)
	require.NotEmpty(t, get(t, c, two))
}

// answers is a terminal at which something happens before the answer.
type answers func() string

func (a answers) Read(p []byte) (int, error) { return copy(p, a()), nil }

func TestDeregisterSaysThatALivingProcessPutsARecordWithoutATTLBack(t *testing.T) {
	srv := etcdtest.Start(t)
	require.NoError(t, open(t, srv).Register(greeter("1", "80")))
	_, said := must(t, exitNo, srv, "deregister", "greeter", "80", "--yes")
	require.Regexp(t, `came back after \d+ ms, on lease [0-9a-f]+: its process lives`, said)
}

func TestDeregisterGoesOnAfterARecordThatStays(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	node := stored(t, greeter("1", "80"))
	one, two, three := etcd.DefaultPrefix+"greeter/1", etcd.DefaultPrefix+"greeter/2", etcd.DefaultPrefix+"greeter/3"
	put(t, c, one, node)
	put(t, c, two, node)
	put(t, c, three, node)
	junkThenYes := func() string { put(t, c, one, "junk"); put(t, c, two, "junk"); return "y\n" }
	r := start(t, srv, answers(junkThenYes), "deregister", "greeter", "80")
	require.Equal(t, exitNo, r.wait())
	require.Contains(t, r.err.String(), one+" has changed since it was shown; ")
	require.Contains(t, r.err.String(), two+" has changed since it was shown")
	require.Equal(t, "junk", get(t, c, one))
	require.Empty(t, get(t, c, three))
}

func TestTheWorstOfTwoErrorsEndsACommand(t *testing.T) {
	failed := join(no("declined"), errors.New("broken"))
	require.Equal(t, exitFailed, exitOf(failed).code)
	require.EqualError(t, failed, "declined; broken")
	require.Equal(t, exitNo, exitOf(join(nil, no("declined"))).code)
	require.NoError(t, join(nil, nil))
}

func TestWhatHasChangedSinceItWasShownStays(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	put(t, c, legacyKey, "junk")
	for _, args := range [][]string{
		{"deregister", "--record-key", legacyKey},
		slices.Concat(registerLegacy, []string{"--ttl", "0"}),
		slices.Concat(registerLegacy, []string{"--ttl", "30s"}),
	} {
		r := start(t, srv, answers(func() string { put(t, c, legacyKey, "other junk"); return "y\n" }), args...)
		require.Equal(t, exitNo, r.wait())
		require.Contains(t, r.err.String(), "has changed since it was shown")
		require.Equal(t, "other junk", get(t, c, legacyKey))
	}
}

func TestKeysAndNodesMayBeGivenAsTheyAreShown(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	key := etcd.DefaultPrefix + "gre\x1b[31meter\xff/\u202e"
	put(t, c, key, "junk")
	must(t, exitOK, srv, "deregister", "--yes", "--record-key", output.Escape(key))
	require.Empty(t, get(t, c, key))

	s := greeter("1", "80")
	s.Name, s.Nodes[0].Id = "gr\teeter", "n\x1b"
	put(t, c, etcd.DefaultPrefix+s.Name+"/"+s.Nodes[0].Id, stored(t, s))
	must(t, exitOK, srv, "deregister", "--yes", `gr\teeter`, `n\x1b`)
	require.Empty(t, as[[]service](t, srv, "services"))

	must(t, exitFailed, srv, "deregister", "--yes", "--record-key", "/elsewhere")
	must(t, exitFailed, srv, "deregister", "--yes", "greeter")
	must(t, exitFailed, srv, "deregister", "--yes", "greeter", "80", "--record-key", "k")
}

func TestADeniedSpellingDoesNotHideTheOther(t *testing.T) {
	t.Parallel()
	srv := etcdtest.Start(t, cheapPasswords)
	c := srv.Client(t)
	s := greeter("1", "80")
	s.Name = "gr\teeter"
	dir := etcd.DefaultPrefix + s.Name + "/"
	put(t, c, dir+"80", stored(t, s))
	put(t, c, dir+"junk", "junk")
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
	must(t, exitOK, srv, append(deregister, `gr\teeter`, "80")...)
	must(t, exitOK, srv, append(deregister, "--record-key", output.Escape(dir+"junk"))...)
	_, said := must(t, exitFailed, srv, append(deregister, "greeter", "80")...)
	require.Contains(t, said, "permission denied")
	require.Equal(t, []string{"greeter"}, spellings("greeter"), "it is read once")
}
