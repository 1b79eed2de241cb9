package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// trap counts who connects to it, and says nothing.
type trap struct {
	net.Listener
	caught atomic.Int64
}

func newTrap(tb testing.TB) *trap {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	r := &trap{Listener: l}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.caught.Add(1)
			_ = conn.Close()
		}
	}()
	tb.Cleanup(func() { require.NoError(tb, l.Close()); <-done })
	return r
}

// secured serves its clients with a certificate. All members but the first one advertise a plain URL.
func secured(tb testing.TB, n int, plain string) (*etcdtest.Cluster, transport.TLSInfo) {
	tb.Helper()
	// of the address it takes the host
	info, err := transport.SelfCert(zap.NewNop(), tb.TempDir(), []string{"127.0.0.1:0"}, 1)
	require.NoError(tb, err)
	return etcdtest.StartCluster(tb, n, func(c *embed.Config) {
		c.BcryptCost = 4
		c.ClientTLSInfo = info
		c.ListenClientUrls[0].Scheme, c.AdvertiseClientUrls[0].Scheme = "https", "https"
		if c.Name != "member-1" {
			c.AdvertiseClientUrls = []url.URL{{Scheme: "http", Host: plain}}
		}
	}), info
}

func roots(tb testing.TB, file string) *x509.CertPool {
	tb.Helper()
	text, err := os.ReadFile(file)
	require.NoError(tb, err)
	pool := x509.NewCertPool()
	require.True(tb, pool.AppendCertsFromPEM(text))
	return pool
}

func TestAPasswordGoesToNoPlainURLWhenTheAddressesAreNot(t *testing.T) {
	plain := newTrap(t)
	cluster, info := secured(t, 2, plain.Addr().String())
	given := "https://" + cluster.Members[0].Endpoint()
	config := &tls.Config{RootCAs: roots(t, info.CertFile)}
	c, err := clientv3.New(
		clientv3.Config{Endpoints: []string{given}, TLS: config, DialTimeout: patience, Logger: zap.NewNop()},
	)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	withRoles(t, c)

	t.Setenv("ETCD_CACERT", info.CertFile) // with options for TLS the registry refuses a plain address itself
	target := Target{Addresses: []string{given}, TLS: config, Timeout: 5 * time.Second}
	var report *Report
	require.Eventually(t, func() bool { // on a busy machine a member may not be answered in time
		report = examine(t, target, etcd.Auth("root", "pw"))
		return report.Members > 0
	}, patience, time.Millisecond)
	require.Zero(t, plain.caught.Load())
	found := report.found("plain-member")
	require.Len(t, found, 1, "%+v", report)
	require.Equal(t, []string{"http://" + plain.Addr().String()}, found[0].Subjects)
	require.Len(t, report.Findings, 1, "%+v", report.Findings)
	require.Equal(t, []int{2, 1}, []int{report.Members, report.Reached})
}
