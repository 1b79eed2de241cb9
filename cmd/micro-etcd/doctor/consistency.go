package doctor

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// askAgain asks those that answered once more if they are several: what one says can be compared with what others say
// only if it is known to be older or newer.
func (s *snapshot) askAgain(ctx context.Context) {
	var all []comparison
	var revision int64
	for _, m := range s.members {
		if m.err != nil {
			continue
		}
		if at := m.status.Header.Revision; len(all) == 0 || at < revision {
			revision = at
		}
		all = append(all, comparison{address: m.address, first: m.status})
	}
	if len(all) < 2 {
		return
	}
	s.comparisons = all
	s.advanceShared(ctx)
	_ = s.target.progress("comparing members").Each(ctx, len(all), maxAsked, func(ctx context.Context, i int) error {
		all[i].hashErr = s.target.visit(ctx, all[i].address, s.target.timeout(),
			func(ctx context.Context, c *clientv3.Client) error { return all[i].ask(ctx, c, revision) })
		return nil // what doesn't answer any more isn't compared
	})
}

// advanceShared adds an entry to the log of each member id that was met at several addresses, at the one that is ahead:
// what idle etcds say may be level.
func (s *snapshot) advanceShared(ctx context.Context) {
	for _, at := range s.sharedIDs() {
		ahead := slices.MaxFunc(at, func(a, b *comparison) int { return cmp.Compare(a.first.RaftIndex, b.first.RaftIndex) })
		_ = s.target.visit(ctx, ahead.address, s.target.timeout(), func(ctx context.Context, c *clientv3.Client) error {
			source := s.source
			source.Client = c
			source.AdvanceLog(ctx)
			now, err := c.Status(ctx, c.Endpoints()[0])
			if err == nil && now.Header.MemberId == ahead.first.Header.MemberId {
				ahead.first = now
			}
			return err // what doesn't answer any more isn't compared
		})
	}
}

// sharedIDs returns what was met at more than one address, by member id.
func (s *snapshot) sharedIDs() map[uint64][]*comparison {
	byID := make(map[uint64][]*comparison)
	for i := range s.comparisons {
		id := s.comparisons[i].first.Header.MemberId
		byID[id] = append(byID[id], &s.comparisons[i])
	}
	maps.DeleteFunc(byID, func(_ uint64, at []*comparison) bool { return len(at) < 2 })
	return byID
}

func (a *comparison) ask(ctx context.Context, c *clientv3.Client, revision int64) error {
	endpoint := c.Endpoints()[0]
	then, err := c.Status(ctx, endpoint)
	if err != nil {
		return err
	}
	last, err := c.Status(ctx, endpoint)
	if err != nil {
		return err
	}
	if then.Header.MemberId == a.first.Header.MemberId {
		a.then, a.last = then, last.Header.Revision
	}
	a.hash, err = c.HashKV(ctx, endpoint, revision)
	return err
}

// askedTwice returns what can be compared by what members say of themselves.
func (s *snapshot) askedTwice() []comparison {
	return slices.DeleteFunc(slices.Clone(s.comparisons), func(a comparison) bool { return a.then == nil })
}

// sharedMemberIDs are etcds that were started on their own, with the same name and peer URL, from which etcd derives a
// member's and its cluster's id. What one member has logged and written never gets less, at whichever address it is
// asked.
func sharedMemberIDs(s *snapshot) []Finding {
	var found []Finding
	shared := s.sharedIDs()
	for _, id := range slices.Sorted(maps.Keys(shared)) {
		at := slices.DeleteFunc(shared[id], func(a *comparison) bool { return a.then == nil })
		var texts, addresses []string
		var index uint64
		var revision int64
		for _, a := range at {
			index, revision = max(index, a.first.RaftIndex), max(revision, a.first.Header.Revision)
		}
		less := false
		for _, a := range at {
			less = less || a.then.RaftIndex < index || a.then.Header.Revision < revision
			addresses = append(addresses, a.address)
			texts = append(texts, fmt.Sprintf("%s is at revision %d and raft index %d",
				a.address, a.then.Header.Revision, a.then.RaftIndex))
		}
		if less && len(at) > 1 { // else it began anew just now
			found = append(found, critical("Give the registry the address of one of them. To make them one cluster, or two, start them anew with empty data directories and peer URLs of their own.",
				"Different etcds call themselves member %x of cluster %x, because they were started with the same peer URL: %s.",
				id, at[0].first.Header.ClusterId, strings.Join(texts, "; ")).about(addresses...))
		}
	}
	return found
}

// differentData are members of one cluster that don't have the same data: each has to make the same of the same log.
func differentData(s *snapshot) []Finding {
	if len(s.reachedByID()) < 2 || len(sharedMemberIDs(s)) > 0 || len(differentClusters(s)) > 0 {
		return nil
	}
	all := s.askedTwice()
	const advice = "Find out which members are right, and replace the others: etcdctl member remove, and member add with an empty data directory. Registries see records come and go until then."
	for _, a := range all {
		for _, b := range all {
			// A member tells its revision before it tells what it has applied (server/v3 etcdserver/api/v3rpc/maintenance.go,
			// Status). Connecting adds to the log where there are passwords.
			if b.then.RaftAppliedIndex >= a.first.RaftAppliedIndex && b.last < a.first.Header.Revision {
				return []Finding{critical(advice,
					"The members' data differ: %s was at revision %d with %d entries of the log applied, and %s is at revision %d with %d.",
					a.address, a.first.Header.Revision, a.first.RaftAppliedIndex,
					b.address, b.last, b.then.RaftAppliedIndex).about(a.address, b.address)}
			}
		}
	}
	return s.differentHashes(advice)
}

func (s *snapshot) differentHashes(advice string) []Finding {
	if len(s.versions()) > 1 {
		return nil // which may hash differently
	}
	var first *comparison
	var uncompared []Finding
	for i, a := range s.comparisons {
		switch {
		case isDenied(a.hashErr):
			uncompared = append(uncompared, info("The revisions agree; only root can also compare the contents.",
				"The contents of the members weren't compared: %v.", a.hashErr).about(a.address))
		case a.hashErr != nil:
			uncompared = append(uncompared, info("Run it again.",
				"The contents of %s weren't compared: %v.", a.address, a.hashErr).about(a.address))
		case first == nil:
			first = &s.comparisons[i]
		case a.hash.CompactRevision != first.hash.CompactRevision:
			uncompared = append(uncompared, info("Run it again: one of them was just being compacted.",
				"The contents of the members weren't compared: %s is compacted up to revision %d, and %s up to %d.",
				first.address, first.hash.CompactRevision, a.address, a.hash.CompactRevision).about(first.address, a.address))
		case a.hash.Hash != first.hash.Hash:
			return []Finding{critical(advice, "The members' data differ: what %s and %s have at revision %d isn't the same.",
				first.address, a.address, first.hash.HashRevision).about(first.address, a.address)}
		}
	}
	return uncompared[:min(len(uncompared), 1)]
}
