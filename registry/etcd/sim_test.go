package etcd

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/etcdfake"
)

// fakeEtcd is a scripted etcd, and what a test looks at in it.
type fakeEtcd struct{ *etcdfake.Server }

// withFake runs a test in virtual time against a fake etcd.
func withFake(t *testing.T, test func(*testing.T, *fakeEtcd)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, &fakeEtcd{etcdfake.NewServer(t)}) })
}

// newRegistry returns a registry with a client of the test's, which knows one member unless others are given. It is
// closed, if it isn't yet, when the test ends.
func (e *fakeEtcd) newRegistry(t *testing.T, opts ...registry.Option) (*Registry, *recorder) {
	t.Helper()
	return open(t, append([]registry.Option{Client(e.NewClient(t))}, opts...)...)
}

// newConnected is newRegistry with a client of the registry's own, which knows all members: nothing else notices that
// one of them is silent.
func (e *fakeEtcd) newConnected(t *testing.T, opts ...registry.Option) (*Registry, *recorder) {
	t.Helper()
	r, logs := open(t, append([]registry.Option{registry.Addrs(etcdfake.Members...)}, opts...)...)
	config := r.components.Load().config.settings.Config
	config.Dial = e.Dial
	r.connector.Replace(config)
	return r, logs
}

func open(t *testing.T, opts ...registry.Option) (*Registry, *recorder) {
	t.Helper()
	logs := &recorder{}
	r, err := New(append([]registry.Option{registry.Logger(logs)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r, logs
}
