package etcdconn

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/micro-etcd/micro-etcd/internal/etcderr"
)

// clusters notices that a client's addresses are of different etcd clusters: they answer by turns. That one takes the
// place of another is nothing strange.
type clusters struct {
	mu      sync.Mutex
	last    uint64
	lately  map[uint64]sighting
	returns int // of one that had answered before another
}

// sighting is the last answer of a cluster.
type sighting struct {
	member string // "" if that isn't known
	at     time.Time
}

const (
	// clusterTime is for how long a cluster counts that doesn't answer any more.
	clusterTime = 30 * time.Second
	// maxReturns allows for a late answer of a cluster that was replaced.
	maxReturns = 1
)

// observe takes note of an answer, and returns an error while they come from different clusters.
func (c *clusters) observe(h *pb.ResponseHeader, member string) error {
	if h == nil {
		return nil
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.lately, func(_ uint64, s sighting) bool { return now.Sub(s.at) > clusterTime })
	if len(c.lately) == 0 {
		c.lately = make(map[uint64]sighting)
	}
	if _, known := c.lately[h.ClusterId]; known && h.ClusterId != c.last {
		c.returns++
	}
	c.last, c.lately[h.ClusterId] = h.ClusterId, sighting{member, now}
	if len(c.lately) == 1 {
		c.returns = 0
	}
	if c.returns <= maxReturns {
		return nil
	}
	return fmt.Errorf("%w: %s", etcderr.ErrMixedClusters, c.listLocked())
}

func (c *clusters) listLocked() string {
	var all []string
	for _, id := range slices.Sorted(maps.Keys(c.lately)) {
		text := fmt.Sprintf("%x", id)
		if member := c.lately[id].member; member != "" {
			text += " at " + member
		}
		all = append(all, text)
	}
	return strings.Join(all, " and ")
}
