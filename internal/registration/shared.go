package registration

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/semaphore"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/lease"
	"github.com/micro-etcd/micro-etcd/internal/prober"
)

// Config is what a registrar needs. None of the functions blocks.
type Config struct {
	Connector  *etcdconn.Connector
	Keys       catalog.Keyspace
	Timeout    func() time.Duration
	Put        func(*catalog.Record)            // told what etcd has taken
	Deleted    func(key string, revision int64) // and what it has deleted
	RolledBack func()                           // called when etcd's data may be others than they were
	Changed    func()                           // called when a status changes

	// Checks returns those of a record's node, nil for none, and the same pointer as long as they are the same.
	Checks func(*catalog.Record) *[]prober.Check
}

// Offer is a service that a caller wants to register. It is compared before it is copied, because every service is
// registered again and again.
type Offer interface {
	// Nodes returns how many nodes there are.
	Nodes() int
	// ID returns the id of one of them.
	ID(node int) string
	// Same reports whether the record of one of the nodes says what the service says now.
	Same(r *catalog.Record, node int) bool
	// Record returns the record of one of the nodes, or why there can be none.
	Record(key string, node int) (*catalog.Record, error)
}

// shared is what the registrations of a registrar have in common.
type shared struct {
	Config
	leases *lease.Lessor
	slots  *semaphore.Weighted // for the keys with requests in flight

	mu     sync.Mutex // held while something is desired of a registration, or one ends
	closed bool       // nothing more is registered
}

// maxSlots bounds how many keys have requests in flight. More would only wait for each other there,
// until their requests are sent again, and add to the load.
const maxSlots = 64

func newShared(c Config) *shared {
	return &shared{Config: c, leases: lease.New(c.Connector), slots: semaphore.NewWeighted(maxSlots)}
}

func (s *shared) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Errors that callers can test for. The registry's documentation says when they are returned.
var (
	ErrNodeID    = errors.New("invalid node id")
	ErrTTL       = errors.New("invalid TTL")
	ErrTooLarge  = errors.New("record exceeds etcd's request limit")
	ErrWithdrawn = errors.New("deregistered meanwhile")
	ErrPending   = errors.New("registration is pending")
)

// errReplacedByRefused says that a record was replaced by one that etcd never took.
var errReplacedByRefused = errors.New("replaced meanwhile by a record that was refused")

// isRetriable reports whether the same request may succeed later.
func isRetriable(err error) bool {
	for _, final := range []error{
		ErrTooLarge, catalog.ErrMalformed, etcdconn.ErrClosed, ErrWithdrawn, errReplacedByRefused, ErrNodeID,
		rpctypes.ErrLeaseTTLTooLarge,
	} {
		if errors.Is(err, final) {
			return false
		}
	}
	return true
}

const (
	// maxTTL is etcd's longest, in seconds (server/v3 lease/lessor.go, MaxLeaseTTL).
	maxTTL = 9_000_000_000
	// defaultTTL is that of a record without one, in seconds: go-micro's own default (server/server.go).
	defaultTTL = 90
)

// CheckTTL says whether etcd takes a TTL.
func CheckTTL(ttl time.Duration) error {
	if ttl < 0 || roundUp(ttl) > maxTTL {
		return fmt.Errorf("%w: %s", ErrTTL, ttl)
	}
	return nil
}

// roundUp returns a TTL in etcd's whole seconds.
func roundUp(ttl time.Duration) int64 {
	if ttl == 0 {
		return defaultTTL
	}
	seconds := int64(ttl / time.Second)
	if ttl%time.Second > 0 {
		seconds++
	}
	return seconds
}

// unchanged guards what is written: a request that arrives late, after etcd has answered its repeat, must find the key
// different from what it was sent for, or it would undo what came after. nil stands for a key that isn't there, which
// compares like one of revision 0.
func unchanged(key string, was *mvccpb.KeyValue) clientv3.Cmp {
	var revision int64
	if was != nil {
		revision = was.ModRevision
	}
	return clientv3.Compare(clientv3.ModRevision(key), "=", revision)
}
