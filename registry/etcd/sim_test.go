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

// newRegistry returns a registry that is closed, if it isn't yet, when the test ends.
func (e *fakeEtcd) newRegistry(t *testing.T, opts ...registry.Option) (*Registry, *recorder) {
	t.Helper()
	logs := &recorder{}
	r, err := New(append([]registry.Option{Client(e.NewClient(t)), registry.Logger(logs)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r, logs
}
