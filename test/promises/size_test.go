package promises

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/etcdtest"
)

// The request that puts a record back has a guard. It mustn't be too large where the first one wasn't.
func TestTheLargestRecordCanBePutBack(t *testing.T) {
	const limit = 64 << 10
	srv := etcdtest.Start(t, func(c *embed.Config) { c.MaxRequestBytes = limit })
	client := srv.Client(t)
	for name, opts := range map[string][]registry.Option{"leases": nil, "shared lease": {etcd.SharedLease()}} {
		t.Run(name, func(t *testing.T) {
			r := open(t, []string{srv.Endpoint()}, opts...)
			s := service("greeter", "1", "n1")
			var err error
			for size := limit; ; size -= 8 {
				s.Nodes[0].Metadata["padding"] = strings.Repeat("x", size)
				if err = r.Register(s, registry.RegisterTTL(time.Minute)); err == nil {
					break
				}
				require.ErrorIs(t, err, etcd.ErrTooLarge)
			}
			key, value := record(t, s)
			_, err = client.Delete(ctx(t), key)
			require.NoError(t, err)
			eventually(t, func() bool {
				got, err := client.Get(ctx(t), key)
				return err == nil && len(got.Kvs) == 1 && string(got.Kvs[0].Value) == value
			}, "it isn't put back")
		})
	}
}
