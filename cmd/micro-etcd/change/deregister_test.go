package change

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleettest"
	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

const legacyKey = etcd.DefaultPrefix + "legacy/l-1"

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
		fleettest.Put(t, c, legacyKey, "junk")
		c.Watcher = deafWatcher{c.Watcher, heard}
		source := fleet.Source{Client: c}
		shown, err := source.Key(t.Context(), legacyKey)
		require.NoError(t, err)
		key, revision, err := remove(t.Context(), quiet(), source, shown)
		require.NoError(t, err)
		err = requireGone(t.Context(), source, key, revision)
		require.ErrorContains(t, err, "could not look whether "+legacyKey+" comes back")
		require.ErrorContains(t, err, want)
		require.Equal(t, app.ExitFailed, app.ExitOf(err).Code)
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
	fleettest.Put(t, c, legacyKey, "junk")
	err = await()
	require.EqualError(t, err, legacyKey+" is there again, without a lease: its process lives; stop that one")
	require.Equal(t, app.ExitNo, app.ExitOf(err).Code)
	srv.Stop()
	err = await()
	require.ErrorContains(t, err, "could not look whether "+legacyKey+" comes back: ")
	require.Equal(t, app.ExitFailed, app.ExitOf(err).Code)
}
