package registrytest

import "github.com/micro-etcd/micro-etcd/registry/registrytest/internal/cases"

// Capability names a promise that Go Micro's contract leaves open, or a hook that a Backend may have.
type Capability string

// The promises. A registry makes all of them but those in [Backend.Lacks].
const (
	// Shared: several Registry values see each other's registrations.
	Shared Capability = cases.Shared
	// WholeRecord: Register replaces whatever part of a record has changed, and a node has one version at a time.
	WholeRecord Capability = cases.WholeRecord
	// OwnCopies: what goes in and what comes out is copied, so that neither side sees the other's later changes.
	OwnCopies Capability = cases.OwnCopies
	// Ordered: equal contents come in equal order.
	Ordered Capability = cases.Ordered
	// FreeIDs: a node id may be used in every service, however alike their names are.
	FreeIDs Capability = cases.FreeIDs
	// Validates: what can't be a registration is refused with an error.
	Validates Capability = cases.Validates
	// Contexts: a call under an ended context returns that context's error.
	Contexts Capability = cases.Contexts
	// Lossless: folding a watcher's results over an earlier lookup gives the present lookup, in every field and however
	// slow the consumer.
	Lossless Capability = cases.Lossless
	// ExactActions: a new node arrives as create, a changed one as update.
	ExactActions Capability = cases.ExactActions
	// WholeDeletes: a delete carries the record as it was registered.
	WholeDeletes Capability = cases.WholeDeletes
	// StoppedError: Next after Stop returns registry.ErrWatcherStopped.
	StoppedError Capability = cases.StoppedError
	// ConcurrentStop: Stop may be called by several goroutines.
	ConcurrentStop Capability = cases.ConcurrentStop
	// SinceLookup: a watcher starts where this process's lookup left off.
	SinceLookup Capability = cases.SinceLookup
	// ExpiryDeletes: an expired node is deleted in every respect: ErrNotFound after the last one, and a delete for
	// every watcher.
	ExpiryDeletes Capability = cases.ExpiryDeletes
	// SelfRenewing: one Register lasts as long as its process.
	SelfRenewing Capability = cases.SelfRenewing
	// SelfHealing: a lost record comes back without another Register.
	SelfHealing Capability = cases.SelfHealing
	// Ownership: a process never removes what another registered after it.
	Ownership Capability = cases.Ownership
	// Bounded: with the store away, every call returns within registry.Timeout.
	Bounded Capability = cases.Bounded
	// LastView: with the store away, a service that was looked up before still is found.
	LastView Capability = cases.LastView
	// InitWhileUsed: Init is safe beside every other call.
	InitWhileUsed Capability = cases.InitWhileUsed
	// Closer: the registry can be closed, and then is quiet.
	Closer Capability = cases.Closer
)

// The hooks. A Backend has those whose field is set.
const (
	// HookKill is Backend.Kill.
	HookKill Capability = cases.HookKill
	// HookCut is Backend.Cut.
	HookCut Capability = cases.HookCut
	// HookVanish is Backend.Vanish.
	HookVanish Capability = cases.HookVanish
	// HookRevoke is Backend.Revoke.
	HookRevoke Capability = cases.HookRevoke
	// HookCorrupt is Backend.Corrupt.
	HookCorrupt Capability = cases.HookCorrupt
	// HookDrain is Backend.Drain.
	HookDrain Capability = cases.HookDrain
)
