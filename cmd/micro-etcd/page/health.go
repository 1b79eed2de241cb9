package page

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	checkTime  = 2 * time.Second
	statusTime = 1500 * time.Millisecond
)

// checkup asks etcd's members how they are.
type checkup struct {
	client *clientv3.Client
	prefix string

	members []*etcdserverpb.Member // the last list; only of one goroutine
}

// health returns the picture, and whether etcd answered for the registry: a read through its leader.
func (c *checkup) health(ctx context.Context) (health, bool) {
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	h := health{Members: []member{}}
	var err error
	var reading sync.WaitGroup
	reading.Go(func() { h.Revision, err = c.read(ctx) })
	statuses := c.statuses(ctx)
	reading.Wait()
	if err != nil {
		h.Error = clip(err.Error())
	}
	h.fold(statuses)
	return h, err == nil
}

// read goes through etcd's leader, which a member that is cut off from it can't answer.
func (c *checkup) read(ctx context.Context) (revision int64, err error) {
	answer, err := c.client.Get(clientv3.WithRequireLeader(ctx), c.prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
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
func (c *checkup) statuses(ctx context.Context) []status {
	if list, err := c.client.MemberList(ctx); err == nil {
		c.members = list.Members
	}
	var all []status
	for _, m := range c.members {
		if len(m.ClientURLs) > 0 {
			all = append(all, status{member: m, url: m.ClientURLs[0]})
		}
	}
	known := len(all)
	for _, url := range c.client.Endpoints() {
		if !slices.ContainsFunc(all[:known], func(s status) bool { return sameAddress(s.url, url) }) {
			all = append(all, status{url: url})
		}
	}
	c.ask(ctx, all)
	for _, s := range all[known:] {
		for i := range all[:known] {
			if s.err == nil && all[i].err != nil && all[i].member.ID == s.answer.Header.MemberId {
				all[i].answer, all[i].err = s.answer, nil
			}
		}
	}
	if known > 0 {
		return all[:known]
	}
	return all
}

func (c *checkup) ask(ctx context.Context, all []status) {
	var asking sync.WaitGroup
	for i := range all {
		asking.Go(func() { all[i].answer, all[i].err = c.client.Status(ctx, all[i].url) })
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
