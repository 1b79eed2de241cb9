package conformance

import (
	"errors"
	"time"

	"github.com/micro-etcd/micro-etcd/test/relay"
)

// ways are a registry's own connections to all members of a store, which it can lose while others keep theirs.
type ways []*relay.Relay

func connect(members []string) (ways, error) {
	var all ways
	for _, target := range members {
		r, err := relay.Start("127.0.0.1:0", target, relay.NewLink(), nil)
		if err != nil {
			all.end()
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

func (all ways) addresses() []string {
	addresses := make([]string, len(all))
	for i, r := range all {
		addresses[i] = r.Address()
	}
	return addresses
}

func (all ways) cut() {
	for _, r := range all {
		r.Refuse()
	}
}

func (all ways) restore() error {
	var errs []error
	for _, r := range all {
		errs = append(errs, r.Accept())
	}
	return errors.Join(errs...)
}

// slow makes each exchange with a member take so much longer.
func slow(rtt time.Duration) func(ways) {
	return func(all ways) {
		for _, r := range all {
			r.Link.Slow(relay.ToServer, rtt/2)
			r.Link.Slow(relay.ToClient, rtt/2)
		}
	}
}

// silence keeps the first member's answers away, and what it is asked.
func silence(all ways) { all[0].Link.Hold(relay.ToServer, relay.ToClient) }

func (all ways) end() {
	for _, r := range all {
		r.End()
	}
}
