package etcdconn

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/roundrobin"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

// policy names our load balancing policy to gRPC: round robin, as the etcd client has it, which avoids the members that
// a request names.
const policy = "micro_etcd_round_robin"

func init() { balancer.Register(policyBuilder{}) }

// withPolicy makes a client use the policy in place of the one that the etcd client's resolver names.
func withPolicy() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"` + policy + `": {}}]}`),
	}
}

// Pick is the choice of the member that a request is sent to.
type Pick struct {
	// Avoid are members, by address, that are only chosen if there is no other: then the first of them.
	Avoid []string
	last  atomic.Pointer[picked]
}

type picked struct {
	member string
	at     time.Time
}

// Last returns the address of the member that was chosen last, and when, or "" if none was. It may be called at any
// time.
func (p *Pick) Last() (member string, at time.Time) {
	if last := p.last.Load(); last != nil {
		return last.member, last.at
	}
	return "", time.Time{}
}

// Member returns the address of the member that was chosen last, or "" if none was. It may be called at any time.
func (p *Pick) Member() string {
	member, _ := p.Last()
	return member
}

func (p *Pick) choose(member string) { p.last.Store(&picked{member, time.Now()}) }

type pickKey struct{}

// WithPick returns a context for a request whose member is chosen by p.
func WithPick(ctx context.Context, p *Pick) context.Context {
	return context.WithValue(ctx, pickKey{}, p)
}

func pickOf(ctx context.Context) *Pick {
	if p, ok := ctx.Value(pickKey{}).(*Pick); ok {
		return p
	}
	return new(Pick)
}

type policyBuilder struct{}

func (policyBuilder) Name() string { return policy }

func (policyBuilder) Build(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	conns := &memberConns{ClientConn: cc, dialer: opts.DialCreds.(dialerCredentials).dialer}
	return balancer.Get(roundrobin.Name).Build(conns, opts)
}

// memberConns is what a round robin sees of gRPC. It remembers which member each connection leads to, and tells the
// dialer why one fails.
type memberConns struct {
	balancer.ClientConn
	dialer    *Dialer
	addresses sync.Map // balancer.SubConn → string
}

func (cs *memberConns) NewSubConn(to []resolver.Address, opts balancer.NewSubConnOptions) (balancer.SubConn, error) {
	var made balancer.SubConn
	listener := opts.StateListener
	opts.StateListener = func(s balancer.SubConnState) {
		switch s.ConnectivityState {
		case connectivity.Ready:
			cs.dialer.connected(to[0].Addr)
		case connectivity.TransientFailure:
			cs.dialer.failed(to[0].Addr, s.ConnectionError)
		case connectivity.Shutdown:
			cs.addresses.Delete(made)
		}
		listener(s)
	}
	//nolint:staticcheck // gRPC only says that there will be one address for each
	made, err := cs.ClientConn.NewSubConn(to, opts)
	if err == nil {
		cs.addresses.Store(made, to[0].Addr)
	}
	return made, err
}

func (cs *memberConns) address(of balancer.SubConn) string {
	if address, ok := cs.addresses.Load(of); ok {
		return address.(string)
	}
	return ""
}

func (cs *memberConns) UpdateState(s balancer.State) {
	s.Picker = &picker{s.Picker, cs}
	cs.ClientConn.UpdateState(s)
}

// picker asks a round robin until it names a member that isn't to be avoided.
type picker struct {
	balancer.Picker
	conns *memberConns
}

// maxPicks is how often, and how many of its picks a request remembers: more than a cluster has members (etcd
// recommends seven at most).
const maxPicks = 9

func (p *picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	of := pickOf(info.Ctx)
	var best balancer.PickResult
	var member string
	for n, rank := 0, len(of.Avoid); n < maxPicks && rank >= 0; n++ {
		picked, err := p.Picker.Pick(info)
		if err != nil {
			return picked, err
		}
		address := p.conns.address(picked.SubConn)
		if asked := lastIndex(of.Avoid, address); asked < rank {
			best, member, rank = picked, address, asked
		}
	}
	of.choose(member)
	return best, nil
}

// lastIndex returns where s is in all for the last time, or -1.
func lastIndex(all []string, s string) int {
	for i, one := range slices.Backward(all) {
		if one == s {
			return i
		}
	}
	return -1
}
