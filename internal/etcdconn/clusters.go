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

// clusters notices that a client's addresses are of different etcd clusters: they answer by turns. That one cluster
// takes the place of another at an address, or at one after the other, is nothing strange. What answers at one address
// counts as one. A caller's own client doesn't tell who has answered, so it is never found to be mixed.
type clusters struct {
	mu     sync.Mutex
	lately map[string]sighting // by member
	last   uint64              // that has answered
	turns  int                 // how often another one has, since the members have ceased to agree
	turned time.Time           // the last time
}

// sighting is a member's last answer.
type sighting struct {
	cluster uint64
	at      time.Time
}

const (
	// clusterTime is for how long an answer counts. With nothing to do, a member is asked every few probes.
	clusterTime = 2 * time.Minute
	// maxTurns allows for the late answer of a cluster that is being replaced.
	maxTurns = 3
	// turnTime is after how long without another turn one of the clusters seems to be gone.
	turnTime = 10 * time.Second
)

// observe takes note of a member's answer, and returns an error while they come from different clusters.
func (c *clusters) observe(h *pb.ResponseHeader, member string) error {
	if h == nil {
		return nil
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lately == nil {
		c.lately = make(map[string]sighting)
	}
	c.lately[member] = sighting{h.ClusterId, now}
	maps.DeleteFunc(c.lately, func(_ string, s sighting) bool { return now.Sub(s.at) > clusterTime })
	switch {
	case c.agreeLocked(h.ClusterId), c.turns > maxTurns && h.ClusterId == c.last && now.Sub(c.turned) > turnTime:
		c.turns = 0
	case h.ClusterId != c.last:
		c.turns++
		c.turned = now
	}
	c.last = h.ClusterId
	if c.turns <= maxTurns {
		return nil
	}
	return fmt.Errorf("%w: %s", etcderr.ErrMixedClusters, c.listLocked())
}

// agreeLocked reports whether all members are of a cluster. It is asked with each answer of etcd.
func (c *clusters) agreeLocked(cluster uint64) bool {
	for _, s := range c.lately {
		if s.cluster != cluster {
			return false
		}
	}
	return true
}

// listLocked names the clusters, and the members of each.
func (c *clusters) listLocked() string {
	members := make(map[uint64][]string)
	for _, member := range slices.Sorted(maps.Keys(c.lately)) {
		id := c.lately[member].cluster
		members[id] = append(members[id], member)
	}
	var all []string
	for _, id := range slices.Sorted(maps.Keys(members)) {
		all = append(all, fmt.Sprintf("%x at %s", id, strings.Join(members[id], ", ")))
	}
	return strings.Join(all, "; ")
}
