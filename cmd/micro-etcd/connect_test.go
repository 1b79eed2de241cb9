package main

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/etcdtest"
)

func TestAConnectionErrorSaysWhatItMeansAndWhoSaysMore(t *testing.T) {
	t.Parallel()
	plain, down := etcdtest.Start(t), etcdtest.Start(t)
	down.Stop()
	// of the address it takes the host
	info, err := transport.SelfCert(zap.NewNop(), t.TempDir(), []string{"127.0.0.1:0"}, 1)
	require.NoError(t, err)
	secure := etcdtest.Start(t, func(c *embed.Config) {
		c.ClientTLSInfo = info
		c.ListenClientUrls[0].Scheme, c.AdvertiseClientUrls[0].Scheme = "https", "https"
	})
	const more = "; `micro-etcd doctor` says more\n"
	for _, c := range []struct {
		srv  *etcdtest.Server
		args []string
		says string
	}{
		{plain, []string{"--secure"}, " (TLS, but etcd seems to be plain)" + more},
		{secure, nil, "or it may expect TLS (https://)" + more},
		{secure, []string{"--secure"}, "certificate signed by unknown authority" + more},
		{down, nil, "connection refused" + more},
	} {
		_, said := must(t, app.ExitFailed, c.srv, append(c.args, "services", "--timeout", "1s")...)
		require.Contains(t, said, c.says)
	}
	must(t, app.ExitOK, secure, "services", "--cacert", info.CertFile)
}
