package registrytest

import (
	"errors"
	"io"
	"time"

	"go-micro.dev/v4/registry"
)

// Backend describes a registry under test: how to open it, what can be done
// to its store, and what it does not promise. Only Open is required.
//
// The kit calls the functions from several goroutines at a time. It passes to
// them the values that Open returned, unwrapped.
type Backend struct {
	// Open returns a further Registry value on the one store that all cases
	// share, ready for use and configured with opts on top of what it needs.
	// The kit treats each value as a process of its own.
	Open func(opts ...registry.Option) (registry.Registry, error)

	// Close ends such a process in order. Without it the kit calls Close
	// where the value is an io.Closer and otherwise drops it.
	Close func(registry.Registry) error

	// Kill ends a process as a crash does: from now on nothing renews its
	// registrations, and nothing withdraws them either. A registry that renews
	// only in Register needs a Kill that does nothing.
	Kill func(registry.Registry) error

	// Cut takes the store away from one process until restore is called.
	// Restore may be called more than once.
	Cut func(registry.Registry) (restore func(), err error)

	// Vanish deletes one node's record from the store behind the back of the
	// process that registered it, whose lease, if there is such a thing, lives.
	Vanish func(service, node string) error

	// Revoke ends the lease or the session that one node's record hangs on,
	// as if its TTL had passed unrenewed; the process lives.
	Revoke func(service, node string) error

	// Corrupt puts malformed records beside the sound ones of a service: at
	// least one that cannot be decoded, and one that decodes to nonsense,
	// such as a node that is null.
	Corrupt func(service string) error

	// Lacks names the promises that the registry does not make, and why.
	Lacks map[Capability]string

	// TTL is the shortest time to live that the store honors; default 2 s.
	TTL time.Duration

	// Patience is how long a change may take until it is seen; default 5 s.
	// A case that fails for want of an event has waited this long.
	Patience time.Duration

	// CallTimeout is the registry.Timeout that the outage cases give to Open;
	// default 1 s.
	CallTimeout time.Duration

	// CaseTimeout ends a case that does not return; default 60 s.
	CaseTimeout time.Duration

	// Seed drives the random cases; default 1. A failure prints it.
	Seed int64
}

// Capability names a promise that Go Micro's contract leaves open, or a hook
// that a Backend may have.
type Capability string

// The promises. A registry makes all of them but those in [Backend.Lacks].
const (
	// Shared: several Registry values see each other's registrations.
	Shared Capability = "Shared"
	// WholeRecord: Register replaces whatever part of a record has changed,
	// and a node has one version at a time.
	WholeRecord Capability = "WholeRecord"
	// OwnCopies: what goes in and what comes out is copied, so that neither
	// side sees the other's later changes.
	OwnCopies Capability = "OwnCopies"
	// Ordered: equal contents come in equal order.
	Ordered Capability = "Ordered"
	// FreeIDs: a node id may be used in every service, however alike their
	// names are.
	FreeIDs Capability = "FreeIDs"
	// Validates: what can't be a registration is refused with an error.
	Validates Capability = "Validates"
	// Contexts: a call under an ended context returns that context's error.
	Contexts Capability = "Contexts"
	// Lossless: folding a watcher's results over an earlier lookup gives the
	// present lookup, in every field and however slow the consumer.
	Lossless Capability = "Lossless"
	// ExactActions: a new node arrives as create, a changed one as update.
	ExactActions Capability = "ExactActions"
	// WholeDeletes: a delete carries the record as it was registered.
	WholeDeletes Capability = "WholeDeletes"
	// StoppedError: Next after Stop returns registry.ErrWatcherStopped.
	StoppedError Capability = "StoppedError"
	// ConcurrentStop: Stop may be called by several goroutines.
	ConcurrentStop Capability = "ConcurrentStop"
	// SinceLookup: a watcher starts where this process's lookup left off.
	SinceLookup Capability = "SinceLookup"
	// ExpiryDeletes: an expired node is deleted in every respect: ErrNotFound
	// after the last one, and a delete for every watcher.
	ExpiryDeletes Capability = "ExpiryDeletes"
	// SelfRenewing: one Register lasts as long as its process.
	SelfRenewing Capability = "SelfRenewing"
	// SelfHealing: a lost record comes back without another Register.
	SelfHealing Capability = "SelfHealing"
	// Ownership: a process never removes what another registered after it.
	Ownership Capability = "Ownership"
	// Bounded: with the store away, every call returns within registry.Timeout.
	Bounded Capability = "Bounded"
	// LastView: with the store away, a service that was looked up before
	// still is found.
	LastView Capability = "LastView"
	// InitWhileUsed: Init is safe beside every other call.
	InitWhileUsed Capability = "InitWhileUsed"
	// Closer: the registry can be closed, and then is quiet.
	Closer Capability = "Closer"
)

// The hooks. A Backend has those whose field is set.
const (
	// HookKill is Backend.Kill.
	HookKill Capability = "hook Kill"
	// HookCut is Backend.Cut.
	HookCut Capability = "hook Cut"
	// HookVanish is Backend.Vanish.
	HookVanish Capability = "hook Vanish"
	// HookRevoke is Backend.Revoke.
	HookRevoke Capability = "hook Revoke"
	// HookCorrupt is Backend.Corrupt.
	HookCorrupt Capability = "hook Corrupt"
)

// errNoOpen is what every case of a Backend without Open fails with.
var errNoOpen = errors.New("the Backend has no Open")

// withDefaults fills in what the caller left out.
func (b Backend) withDefaults() Backend {
	if b.Open == nil {
		b.Open = func(...registry.Option) (registry.Registry, error) { return nil, errNoOpen }
	}
	if b.Close == nil {
		b.Close = closeIfCloser
	}
	b.TTL = orDefault(b.TTL, 2*time.Second)
	b.Patience = orDefault(b.Patience, 5*time.Second)
	b.CallTimeout = orDefault(b.CallTimeout, time.Second)
	b.CaseTimeout = orDefault(b.CaseTimeout, time.Minute)
	if b.Seed == 0 {
		b.Seed = 1
	}
	return b
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
