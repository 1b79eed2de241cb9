package federation

import (
	"context"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/feed"
	"github.com/micro-etcd/micro-etcd/internal/group"
)

// shared is what the services of a federation have in common.
type shared struct {
	datacenters []*datacenter // in the order of preference, the local one first
	below       int           // FailoverBelow
	hold        time.Duration
	shown       *feed.Shown
	metrics     *metrics
	group       group.Group
	ctx         context.Context // ends with Close
	end         context.CancelFunc
	all         atomic.Bool // every service of every data center is followed
}

func (s *shared) local() registry.Registry { return s.datacenters[0].registry }

// move says that another data center serves a service from now on.
type move struct{ from, to int }

// report logs and counts moves.
func (s *shared) report(service string, m *move) {
	from, to := s.datacenters[m.from].name, s.datacenters[m.to].name
	level, why := logger.InfoLevel, to+" has enough nodes"
	if m.to > m.from {
		level, why = logger.WarnLevel, from+" has too few nodes"
		s.metrics.failedOver(from, to)
	}
	if l := s.local().Options().Logger; l != nil {
		l.Logf(level, "federation: %s is served from %s instead of %s: %s", service, to, from, why)
	}
}

// answerTime is how long a data center that is preferred may take to answer, until another one that has answered serves
// meanwhile.
const answerTime = time.Second
