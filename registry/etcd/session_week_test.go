package etcd

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// scriptedLeases stand in for the lease part of the etcd client, whose own loops wake up too
// often for a week. A channel of theirs ends for the same reasons.
type scriptedLeases struct {
	clientv3.Lease // what sessions don't use

	mu      sync.Mutex
	leases  map[clientv3.LeaseID]time.Time // when they run out
	grants  int
	cut     bool
	mended  chan struct{} // closed and renewed when a cut ends
	dropped chan struct{} // closed and renewed to end all channels
}

func newScriptedLeases() *scriptedLeases {
	return &scriptedLeases{
		leases: make(map[clientv3.LeaseID]time.Time), mended: make(chan struct{}), dropped: make(chan struct{}),
	}
}

// weekTTL is what go-micro takes by default.
const weekTTL = 90 * time.Second

// reach waits until etcd can be reached.
func (l *scriptedLeases) reach(ctx context.Context) error {
	for {
		l.mu.Lock()
		cut, mended := l.cut, l.mended
		l.mu.Unlock()
		if !cut {
			return nil
		}
		select {
		case <-mended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *scriptedLeases) setCut(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut = cut; !cut {
		close(l.mended)
		l.mended = make(chan struct{})
	}
}

func (l *scriptedLeases) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.dropped)
	l.dropped = make(chan struct{})
}

func (l *scriptedLeases) revokeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.leases)
}

func (l *scriptedLeases) alive(id clientv3.LeaseID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.leases[id])
}

func (l *scriptedLeases) granted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.grants
}

func (l *scriptedLeases) Close() error { return nil }

func (l *scriptedLeases) Grant(ctx context.Context, _ int64) (*clientv3.LeaseGrantResponse, error) {
	if err := l.reach(ctx); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.grants++
	id := clientv3.LeaseID(l.grants)
	l.leases[id] = time.Now().Add(weekTTL)
	return &clientv3.LeaseGrantResponse{ID: id, TTL: int64(weekTTL / time.Second)}, nil
}

func (l *scriptedLeases) KeepAliveOnce(ctx context.Context, id clientv3.LeaseID) (*clientv3.LeaseKeepAliveResponse, error) {
	if err := l.reach(ctx); err != nil {
		return nil, err
	}
	if !l.alive(id) {
		return nil, rpctypes.ErrLeaseNotFound
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leases[id] = time.Now().Add(weekTTL)
	return &clientv3.LeaseKeepAliveResponse{ID: id, TTL: int64(weekTTL / time.Second)}, nil
}

func (l *scriptedLeases) TimeToLive(ctx context.Context, id clientv3.LeaseID, _ ...clientv3.LeaseOption) (*clientv3.LeaseTimeToLiveResponse, error) {
	if err := l.reach(ctx); err != nil {
		return nil, err
	}
	if !l.alive(id) {
		return &clientv3.LeaseTimeToLiveResponse{ID: id, TTL: -1}, nil
	}
	return &clientv3.LeaseTimeToLiveResponse{ID: id, TTL: int64(weekTTL / time.Second)}, nil
}

func (l *scriptedLeases) KeepAlive(ctx context.Context, id clientv3.LeaseID) (<-chan *clientv3.LeaseKeepAliveResponse, error) {
	answers := make(chan *clientv3.LeaseKeepAliveResponse, 16)
	l.mu.Lock()
	dropped := l.dropped
	l.mu.Unlock()
	go func() {
		defer close(answers)
		for within := dialTimeout + time.Second; ; within = weekTTL * 2 / 3 {
			patience, cancel := context.WithTimeout(ctx, within)
			answer, err := l.KeepAliveOnce(patience, id)
			cancel()
			if err != nil {
				return
			}
			answers <- answer
			select {
			case <-time.After(weekTTL / 3):
			case <-dropped:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return answers, nil
}

// keptSession has a session, and another one as soon as it is lost, as registrations do.
type keptSession struct {
	leases    *scriptedLeases
	connector *connector

	mu  sync.Mutex
	now *session
}

func (k *keptSession) run(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		limited, cancel := context.WithTimeout(ctx, firstTry<<min(failures, 2))
		s, err := grantSession(limited, k.connector, int64(weekTTL/time.Second), false)
		cancel()
		if err != nil {
			failures++
			pause(ctx, backoff(failures, err), nil)
			continue
		}
		failures = 0
		k.mu.Lock()
		k.now = s
		k.mu.Unlock()
		select {
		case <-s.lost:
		case <-ctx.Done():
		}
		s.end()
	}
}

func (k *keptSession) session() *session {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

// held reports whether the session is one on a living lease.
func (k *keptSession) held() bool {
	s := k.session()
	return s != nil && k.leases.alive(s.id) && !s.isLost()
}

// harm does something to leases, and reports whether they don't survive it.
func (k *keptSession) harm(random *rand.Rand) (fatal bool) {
	switch random.IntN(6) {
	case 0:
		k.leases.revokeAll()
		k.session().doubt() // or it would be found out by the next renewal
		return true
	case 1:
		k.leases.drop()
	case 2:
		k.session().doubt()
	case 3: // an outage that a lease survives
		k.leases.setCut(true)
		time.Sleep(time.Duration(random.Int64N(int64(weekTTL / 2))))
		k.leases.setCut(false)
	case 4: // one that it doesn't
		k.leases.setCut(true)
		time.Sleep(weekTTL + time.Duration(random.Int64N(int64(10*time.Minute))))
		k.leases.setCut(false)
		return true
	case 5: // several at once
		k.leases.setCut(true)
		k.leases.drop()
		k.session().doubt()
		time.Sleep(time.Duration(random.Int64N(int64(weekTTL / 2))))
		k.leases.setCut(false)
	}
	return false
}

func TestASessionLivesThroughAWeekOfFaults(t *testing.T) {
	seed := *fixedSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("to repeat: -seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	began := time.Now()
	withFake(t, func(t *testing.T, e *fakeEtcd) {
		k := &keptSession{leases: newScriptedLeases()}
		client := e.newClient(t)
		client.Lease = k.leases
		ctx, cancel := context.WithCancel(t.Context())
		var g group
		k.connector = &connector{ctx: ctx, group: &g, metrics: newMetrics(), current: &link{Client: client, renewals: k.leases, ctx: ctx, end: func() {}}}
		g.run(func() { k.run(ctx) })
		t.Cleanup(func() { cancel(); g.close() })

		faults, losses := 0, 0
		for began := time.Now(); time.Since(began) < 7*24*time.Hour; faults++ {
			await(t, time.Second, "the session is held", k.held)
			time.Sleep(time.Duration(random.Int64N(int64(30 * time.Minute))))
			require.True(t, k.held(), "a quiet session stays")
			if k.harm(random) {
				losses++
			}
		}
		require.LessOrEqual(t, k.leases.granted(), losses+1, "a lease that lives isn't replaced")
		t.Logf("%d faults, %d of which cost the lease", faults, losses)
	})
	t.Logf("a week in %s", time.Since(began).Round(time.Millisecond))
}
