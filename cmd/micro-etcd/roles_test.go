package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/etcdtest"
)

// cheapPasswords spares the machine: etcd's usual cost takes seconds under the race detector.
func cheapPasswords(c *embed.Config) { c.BcryptCost = 4 }

// withRoles switches authentication on: "provider" may read and write greeter, "consumer" read it, "writer" write it,
// and "nobody" nothing.
func withRoles(tb testing.TB, srv *etcdtest.Server) {
	tb.Helper()
	c := srv.Client(tb)
	ctx := tb.Context()
	dir := "/micro/registry/greeter/"
	for user, may := range map[string]clientv3.PermissionType{
		"provider": clientv3.PermissionType(clientv3.PermReadWrite), "consumer": clientv3.PermissionType(clientv3.PermRead),
		"writer": clientv3.PermissionType(clientv3.PermWrite), "nobody": -1, "root": -1,
	} {
		_, err := c.UserAdd(ctx, user, "pw")
		require.NoError(tb, err)
		_, err = c.RoleAdd(ctx, user)
		require.NoError(tb, err)
		if may >= 0 {
			_, err = c.RoleGrantPermission(ctx, user, dir, clientv3.GetPrefixRangeEnd(dir), may)
			require.NoError(tb, err)
		}
		_, err = c.UserGrantRole(ctx, user, user)
		require.NoError(tb, err)
	}
	_, err := c.AuthEnable(ctx)
	require.NoError(tb, err)
}

func passwordFile(tb testing.TB) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "password")
	require.NoError(tb, os.WriteFile(file, []byte("pw\n"), 0o600))
	return file
}

func TestRepairOfAKeyNeedsPermissionForThatKeyOnly(t *testing.T) {
	srv := etcdtest.Start(t, cheapPasswords)
	c := srv.Client(t)
	_, err := c.UserAdd(t.Context(), "keyholder", "pw")
	require.NoError(t, err)
	_, err = c.RoleAdd(t.Context(), "keyholder")
	require.NoError(t, err)
	_, err = c.RoleGrantPermission(
		t.Context(), "keyholder", legacyKey, "", clientv3.PermissionType(clientv3.PermReadWrite),
	)
	require.NoError(t, err)
	_, err = c.UserGrantRole(t.Context(), "keyholder", "keyholder")
	require.NoError(t, err)
	withRoles(t, srv)
	user := []string{"--user", "keyholder", "--password-file", passwordFile(t), "--yes"}
	must(t, app.ExitOK, srv, slices.Concat(registerLegacy, []string{"--ttl", "0"}, user)...)
	must(t, app.ExitOK, srv, append([]string{"deregister", "--record-key", legacyKey}, user...)...)
	_, said := must(t, app.ExitFailed, srv, append([]string{"deregister", "legacy", "l-1"}, user...)...)
	require.Contains(t, said, "permission denied")
}
