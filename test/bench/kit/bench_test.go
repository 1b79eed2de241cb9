package kit

import (
	"testing"

	official "github.com/go-micro/plugins/v4/registry/etcd"
	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/registry/registrytest"
)

func BenchmarkRegistry(b *testing.B) {
	for name, open := range map[string]func(...registry.Option) (registry.Registry, error){
		"ours":     func(opts ...registry.Option) (registry.Registry, error) { return etcd.New(opts...) },
		"official": func(opts ...registry.Option) (registry.Registry, error) { return official.NewRegistry(opts...), nil },
	} {
		b.Run(name, func(b *testing.B) {
			b.Setenv("MICRO_REGISTRY_ADDRESS", "") // the official plugin prefers it to its options
			endpoint := etcdtest.Start(b).Endpoint()
			quiet := logger.NewLogger(logger.WithLevel(logger.FatalLevel))
			registrytest.Bench(b, registrytest.Backend{
				Open: func(opts ...registry.Option) (registry.Registry, error) {
					return open(append(opts, registry.Addrs(endpoint), registry.Logger(quiet))...)
				},
			})
		})
	}
}
