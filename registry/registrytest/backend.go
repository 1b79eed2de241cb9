package registrytest

import (
	"cmp"
	"errors"
	"io"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"
)

// Backend describes a registry under test: how to open it, what can be done to its store, and what it does not promise.
// Only Open is required.
//
// The kit calls the functions from several goroutines at a time. It passes to them the values that Open returned,
// unwrapped.
type Backend struct {
	// Open returns a further Registry value on the one store that all cases share, ready for use and configured with
	// opts on top of what it needs. The kit treats each value as a process of its own.
	Open func(opts ...registry.Option) (registry.Registry, error)

	// Close ends such a process in order. Without it the kit calls Close where the value is an io.Closer and otherwise
	// drops it.
	Close func(registry.Registry) error

	// Kill ends a process as a crash does: from now on nothing renews its registrations, and nothing withdraws them
	// either. A registry that renews only in Register needs a Kill that does nothing.
	Kill func(registry.Registry) error

	// Cut takes the store away from one process until restore is called. Restore may be called more than once.
	Cut func(registry.Registry) (restore func(), err error)

	// Vanish deletes one node's record from the store behind the back of the process that registered it, whose lease,
	// if there is such a thing, lives.
	Vanish func(service, node string) error

	// Revoke ends the lease or the session that one node's record hangs on, as if its TTL had passed unrenewed; the
	// process lives.
	Revoke func(service, node string) error

	// Corrupt puts malformed records beside the sound ones of a service: at least one that cannot be decoded, and one
	// that decodes to nonsense, such as a node that is null.
	Corrupt func(service string) error

	// Drain takes a registered node out of service in the store, as an operator does; its process goes on, and the
	// node's lease lives. restore puts back what the node is then. If it was deregistered meanwhile, restore does
	// nothing and returns nil. The kit calls restore at most once.
	Drain func(service, node string) (restore func() error, err error)

	// Lacks names the promises that the registry does not make, and why.
	Lacks map[Capability]string

	// TTL is the shortest time to live that the store honors; default 2 s.
	TTL time.Duration

	// Patience is how long a change may take until it is seen; default 5 s. A case that fails for want of an event has
	// waited this long.
	Patience time.Duration

	// CallTimeout is the registry.Timeout that the outage cases give to Open; default 1 s.
	CallTimeout time.Duration

	// CaseTimeout ends a case that does not return; default 60 s.
	CaseTimeout time.Duration

	// Seed drives the random cases; default 1. A failure prints it.
	Seed int64
}

// errNoOpen is what every case of a Backend without Open fails with.
var errNoOpen = errors.New("the Backend has no Open")

// forHarness fills in what the caller left out.
func (b Backend) forHarness() harness.Backend {
	if b.Open == nil {
		b.Open = func(...registry.Option) (registry.Registry, error) { return nil, errNoOpen }
	}
	if b.Close == nil {
		b.Close = closeIfCloser
	}
	_, alone := b.Lacks[Shared]
	return harness.Backend{
		Open:        b.Open,
		Close:       b.Close,
		Kill:        b.Kill,
		Cut:         b.Cut,
		Vanish:      b.Vanish,
		Revoke:      b.Revoke,
		Corrupt:     b.Corrupt,
		Drain:       b.Drain,
		Alone:       alone,
		TTL:         orDefault(b.TTL, 2*time.Second),
		Patience:    orDefault(b.Patience, 5*time.Second),
		CallTimeout: orDefault(b.CallTimeout, time.Second),
		CaseTimeout: orDefault(b.CaseTimeout, time.Minute),
		Seed:        cmp.Or(b.Seed, 1),
	}
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

func closeIfCloser(r registry.Registry) error {
	if c, ok := r.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// lacks returns why one of needs is not met, or "" if all are.
func (b Backend) lacks(needs []Capability) string {
	hooks := map[Capability]bool{
		HookKill:    b.Kill != nil,
		HookCut:     b.Cut != nil,
		HookVanish:  b.Vanish != nil,
		HookRevoke:  b.Revoke != nil,
		HookCorrupt: b.Corrupt != nil,
		HookDrain:   b.Drain != nil,
	}
	for _, need := range needs {
		if reason, lacking := b.Lacks[need]; lacking {
			return "lacks " + string(need) + ": " + reason
		}
		if set, isHook := hooks[need]; isHook && !set {
			return "the Backend has no " + string(need)
		}
	}
	return ""
}
