package doctor

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// member is what a member said at one address, asked alone.
type member struct {
	address    string
	err        error // in the registry's words; the rest is nothing then
	id         uint64
	cluster    uint64
	status     *clientv3.StatusResponse
	memberList []*pb.Member

	skew     time.Duration // by which its clock is ahead of ours at least; negative for behind
	clockErr error
}

// memberTimeout bounds what a member is waited for that doesn't answer.
const memberTimeout = 3 * time.Second

// ask visits an address.
func (t *Target) ask(ctx context.Context, address string) member {
	m := member{address: address}
	look := func(ctx context.Context, c *clientv3.Client) (err error) {
		if m.status, err = c.Status(ctx, c.Endpoints()[0]); err != nil {
			return fmt.Errorf("status: %w", err)
		}
		m.id, m.cluster = m.status.Header.MemberId, m.status.Header.ClusterId
		// Not linearizable, so that a member tells that has no leader.
		if list, err := pb.NewClusterClient(c.ActiveConnection()).MemberList(ctx, &pb.MemberListRequest{}); err == nil {
			m.memberList = list.Members
		}
		m.skew, m.clockErr = t.skew(ctx, address)
		return nil
	}
	m.err = t.visit(ctx, address, min(t.timeout(), memberTimeout), look)
	return m
}

// visit connects to an address as a plugin would that has no other.
func (t *Target) visit(
	ctx context.Context, address string, timeout time.Duration, do func(context.Context, *clientv3.Client) error,
) error {
	r, err := t.open([]string{address})
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := r.Client(ctx)
	if err != nil {
		return err
	}
	return do(ctx, c)
}

// skew compares clocks. etcd's API tells no time, but the answer to each HTTP request does, in whole seconds.
func (t *Target) skew(ctx context.Context, address string) (time.Duration, error) {
	if strings.HasPrefix(address, "unix:") {
		return 0, nil // the same machine
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/version", http.NoBody)
	if err != nil {
		return 0, err
	}
	transport := &http.Transport{TLSClientConfig: t.TLS.Clone(), DisableKeepAlives: true}
	before := time.Now()
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return 0, err
	}
	after := time.Now()
	if err := answer.Body.Close(); err != nil {
		return 0, err
	}
	date, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		return 0, fmt.Errorf("date %q: %w", answer.Header.Get("Date"), err)
	}
	return apart(date, before, after), nil
}

// apart returns by how much a clock that showed date, in whole seconds, somewhen between before and after is ahead at
// least; negative for behind.
func apart(date, before, after time.Time) time.Duration {
	switch {
	case date.After(after):
		return date.Sub(after)
	case date.Add(time.Second).Before(before):
		return date.Add(time.Second).Sub(before)
	}
	return 0
}
