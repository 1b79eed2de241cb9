// Package auth makes an etcd ask who comes.
package auth

import (
	"testing"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Enable turns authentication on. The only user is root.
func Enable(tb testing.TB, c *clientv3.Client, password string) {
	tb.Helper()
	_, err := c.UserAdd(tb.Context(), "root", password)
	require.NoError(tb, err)
	_, err = c.UserGrantRole(tb.Context(), "root", "root")
	require.NoError(tb, err)
	_, err = c.AuthEnable(tb.Context())
	require.NoError(tb, err)
}
