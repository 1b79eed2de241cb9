package page

import (
	"context"
	"maps"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
)

const (
	askTime    = 5 * time.Second // between two questions about one lease, however many browsers want to know
	answerTime = 1500 * time.Millisecond
)

// ttls knows how long the leases live that somebody looks at.
type ttls struct {
	turn chan struct{} // holds one token: for what follows, and so that one asks at a time

	source fleet.Source // has a client before there are leases to ask for
	known  map[clientv3.LeaseID]answer
}

type answer struct {
	lease fleet.Lease // zero if there is none any more
	at    time.Time
}

func newTTLs(source fleet.Source) *ttls {
	t := &ttls{source: source, turn: make(chan struct{}, 1), known: make(map[clientv3.LeaseID]answer)}
	t.turn <- struct{}{}
	return t
}

// use is for when there is a client.
func (t *ttls) use(source fleet.Source) {
	<-t.turn
	t.source = source
	t.turn <- struct{}{}
}

// of returns what is known of the leases, after asking etcd for those that were not asked for lately. What etcd doesn't
// answer in time is not in the result.
func (t *ttls) of(ctx context.Context, ids []clientv3.LeaseID) map[clientv3.LeaseID]answer {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	select {
	case <-t.turn:
	case <-ctx.Done():
		return nil
	}
	defer func() { t.turn <- struct{}{} }()

	now := time.Now()
	maps.DeleteFunc(t.known, func(_ clientv3.LeaseID, a answer) bool { return now.Sub(a.at) > askTime })
	var ask []clientv3.LeaseID
	for _, id := range ids {
		if _, known := t.known[id]; !known && id != 0 {
			ask = append(ask, id)
		}
	}
	if len(ask) > 0 {
		if leases, err := t.source.Leases(ctx, ask, nil); err == nil {
			for _, id := range ask {
				t.known[id] = answer{lease: leases[id], at: now}
			}
		}
	}
	return maps.Clone(t.known)
}
