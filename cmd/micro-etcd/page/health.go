package page

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/internal/etcderr"
)

const (
	checkTime  = 2 * time.Second
	statusTime = 1500 * time.Millisecond
)

// checkup asks etcd's members how they are.
type checkup struct {
	source fleet.Source

	// Only of one goroutine.
	members []*etcdserverpb.Member // the last list
	passed  map[uint64]uint64      // the highest raft index that each member id was seen at
}

// health returns the picture, and whether etcd answered for the registry: a read through its leader.
func (c *checkup) health(ctx context.Context) (health, bool) {
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	h := health{Members: []member{}}
	var err error
	var reading sync.WaitGroup
	reading.Go(func() { h.Revision, err = c.read(ctx) })
	statuses, conflict := c.statuses(ctx)
	reading.Wait()
	h.Conflict = conflict
	if err != nil {
		h.fail(err)
	}
	h.fold(statuses)
	return h, err == nil
}

func (h *health) fail(err error) {
	h.Error, h.Refused = clip(connect.Explain(err).Error()), etcderr.IsRefused(err)
}

// read goes through etcd's leader, which a member that is cut off from it can't answer.
func (c *checkup) read(ctx context.Context) (revision int64, err error) {
	ctx = clientv3.WithRequireLeader(ctx)
	answer, err := c.source.Client.Get(ctx, c.source.Dir(), clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, err
	}
	return answer.Header.Revision, nil
}

// status is what one address answers.
type status struct {
	member *etcdserverpb.Member // nil for an address that isn't known to be a member's
	url    string
	answer *clientv3.StatusResponse
	err    error
}

// statuses asks every member at the address that it advertises, and if that isn't reachable from here, as behind NAT,
// finds it behind one of the addresses that we were given.
func (c *checkup) statuses(ctx context.Context) (of []status, conflict string) {
	if list, err := c.source.Client.MemberList(ctx); err == nil {
		c.members = list.Members
	}
	var all []status
	for _, m := range c.members {
		if len(m.ClientURLs) > 0 {
			all = append(all, status{member: m, url: m.ClientURLs[0]})
		}
	}
	known := len(all)
	for _, url := range c.source.Client.Endpoints() {
		if !slices.ContainsFunc(all[:known], func(s status) bool { return sameAddress(s.url, url) }) {
			all = append(all, status{url: url})
		}
	}
	c.ask(ctx, all)
	conflict = c.conflict(ctx, all)
	for _, s := range all[known:] {
		for i := range all[:known] {
			if s.err == nil && all[i].err != nil && all[i].member.ID == s.answer.Header.MemberId {
				all[i].answer, all[i].err = s.answer, nil
			}
		}
	}
	if known > 0 {
		all = all[:known]
	}
	return all, conflict
}

// conflict names etcds that call themselves the same member, because they were started on their own with the same peer
// URL: what one member has logged never gets less, at whichever address it is asked.
func (c *checkup) conflict(ctx context.Context, all []status) (text string) {
	at := make(map[uint64][]status)
	for _, s := range all {
		if s.err == nil {
			id := s.answer.Header.MemberId
			at[id] = append(at[id], s)
		}
	}
	passed := make(map[uint64]uint64) // not what was: a member may begin anew
	idle := false
	for _, id := range slices.Sorted(maps.Keys(at)) {
		var urls []string
		least, most := uint64(math.MaxUint64), uint64(0)
		for _, s := range at[id] {
			urls = append(urls, s.url)
			least, most = min(least, s.answer.RaftIndex), max(most, s.answer.RaftIndex)
		}
		if least < c.passed[id] && most >= c.passed[id] {
			text = fmt.Sprintf("%s are different etcds that call themselves member %x. This page shows a mixture of them.",
				strings.Join(urls, " and "), id)
		}
		idle = idle || len(urls) > 1 && least == most && most == c.passed[id]
		passed[id] = most
	}
	c.passed = passed
	if idle { // else several that are level would stay so
		c.source.AdvanceLog(ctx)
	}
	return text
}

func (c *checkup) ask(ctx context.Context, all []status) {
	var asking sync.WaitGroup
	for i := range all {
		asking.Go(func() { all[i].answer, all[i].err = c.source.Client.Status(ctx, all[i].url) })
	}
	asking.Wait()
}

func (h *health) fold(all []status) {
	for _, s := range all {
		m := member{Name: s.url, URL: s.url}
		if s.member != nil {
			m.Name, m.Learner = s.member.Name, s.member.IsLearner
		}
		if s.err != nil {
			m.Error = clip(reason(s.err))
			h.Members = append(h.Members, m)
			continue
		}
		m.Healthy, m.Version, m.Size = len(s.answer.Errors) == 0, s.answer.Version, s.answer.DbSize
		m.Leader = s.answer.Leader != 0 && s.answer.Leader == s.answer.Header.MemberId
		if m.Leader {
			h.Leader = m.Name
		}
		for _, alarm := range s.answer.Errors {
			h.Alarms = append(h.Alarms, fmt.Sprintf("%s: %s", m.Name, clip(alarm)))
		}
		h.Members = append(h.Members, m)
	}
}

func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer"
	}
	return err.Error()
}

// sameAddress compares without the scheme, which endpoints may lack.
func sameAddress(a, b string) bool { return withoutScheme(a) == withoutScheme(b) }

func withoutScheme(url string) string {
	if _, rest, found := strings.Cut(url, "://"); found {
		return strings.TrimSuffix(rest, "/")
	}
	return url
}
