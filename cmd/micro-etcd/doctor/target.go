package doctor

import (
	"cmp"
	"crypto/tls"
	"slices"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// Target is what to examine.
type Target struct {
	// Addresses are etcd's, in the registry's notation; none means what the registry makes of that.
	Addresses []string
	// Options are the registry's beside addresses, timeout and prefix. Without a logger among them go-micro's default
	// one gets what the registries say, which is in the report anyway.
	Options []registry.Option
	// Prefix is the registry's; "" means its default.
	Prefix string
	// Service limits permissions and records to one service; "" means all.
	Service string
	// TLS is for asking https:// members for their time, which etcd tells over HTTP only; nil means the system's roots.
	TLS *tls.Config
	// Timeout bounds each request; 0 means 5 s.
	Timeout time.Duration
	// Progress, if not nil, is told what is being done.
	Progress func(what string, done, all int)
}

func (t *Target) timeout() time.Duration { return cmp.Or(t.Timeout, 5*time.Second) }

func (t *Target) progress(what string) fleet.Progress {
	if t.Progress == nil {
		return nil
	}
	return func(done, all int) { t.Progress(what, done, all) }
}

// open makes a registry as the processes do that use it.
func (t *Target) open(addresses []string) (*etcd.Registry, error) {
	opts := append(slices.Clone(t.Options), registry.Timeout(t.timeout()))
	if t.Prefix != "" {
		opts = append(opts, etcd.Prefix(t.Prefix))
	}
	if len(addresses) > 0 {
		opts = append(opts, registry.Addrs(addresses...))
	}
	return etcd.New(opts...)
}
