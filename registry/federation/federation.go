package federation

import (
	"context"
	"fmt"

	"github.com/micro-etcd/micro-etcd/internal/feed"
)

// New returns a registry that registers at the local one of the given registries and looks services up in all of them.
// It doesn't use them yet. They stay the caller's: the federation doesn't close them. Errors: ErrOption.
func New(opts ...Option) (*Registry, error) {
	o, err := newOptions(opts)
	if err != nil {
		return nil, fmt.Errorf("federation: %w", err)
	}
	s := &shared{datacenters: o.datacenters(), below: o.below, hold: o.hold, shown: feed.NewShown()}
	s.ctx, s.end = context.WithCancel(context.Background())
	r := &Registry{shared: s, routes: newRoutes(s)}
	r.source = feed.NewHasSource(&feed.Source{
		Is:   func(registry any) bool { other, ok := registry.(*Registry); return ok && other == r },
		Life: r.ctx, Check: r.check, Follow: r.followed,
	})
	s.metrics = newMetrics(o.meters, r.routes.countServed)
	s.group.Run(r.routes.sweepLoop)
	return r, nil
}
