package etcd

import (
	"time"

	"go-micro.dev/v4/selector"

	"github.com/micro-etcd/micro-etcd/internal/picker"
	"github.com/micro-etcd/micro-etcd/registry/internal/gomicro"
)

type (
	weightedOption struct{}
	zoneOption     struct{}
	graceOption    struct{}
)

// The keys in a node's metadata that [Weighted] and [PreferZone] read.
const (
	WeightKey = picker.WeightKey
	ZoneKey   = picker.ZoneKey
)

// Weighted makes a selector's Random and RoundRobin pick nodes in proportion to the decimal number in their metadata
// under [WeightKey]. It is 1 for a node without one, or with one that isn't a number from 0 to 1,000,000. A node of
// weight 0 isn't picked, unless all are.
func Weighted() selector.Option {
	return inContext(weightedOption{}, true)
}

// PreferZone makes a selector's Random and RoundRobin pick nodes whose metadata has the zone under [ZoneKey], as long
// as at least a quarter of those can be used; else they pick from all. The empty zone, which is the default, prefers
// none.
func PreferZone(zone string) selector.Option {
	return inContext(zoneOption{}, zone)
}

// Grace lets a selector choose for up to d among nodes that are gone from etcd, beside those that are there, if more
// than half of a service's nodes, of which there were at least four, went within ten seconds: that is more likely
// etcd's or the network's fault than theirs. The default is 0: what is gone isn't chosen.
//
// etcd doesn't say whether a record was deleted or expired, so both count, but for those that this registry has
// deregistered. Therefore the first call that can't reach a lost node ends its grace. It ends for all of them when no
// more are lost than there are, and at Reset. Only selectors have grace: GetService and watchers tell what is in etcd.
// [FollowedStatus] shows it.
//
// Each such selector watches the services that it selects, from the first Select of one until none has come for ten
// minutes. What went before, it doesn't know.
func Grace(d time.Duration) selector.Option {
	return inContext(graceOption{}, d)
}

func inContext(key, value any) selector.Option {
	return func(o *selector.Options) { o.Context = gomicro.Keep(o.Context, key, value) }
}
