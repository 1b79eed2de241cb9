package cases

import "github.com/micro-etcd/micro-etcd/registry/registrytest/internal/harness"

// Case is a registrytest.Case with what runs it.
type Case struct {
	Name  string
	Rule  string
	Needs []string
	// Waits marks a case that mostly waits for the clock; it runs beside others.
	Waits bool
	// Body judges; it fails through the Env.
	Body func(*harness.Env)
}

func needs(names ...string) []string { return names }

// What cases need, by the names of the constants in registrytest, which say what they mean.
const (
	Shared         = "Shared"
	WholeRecord    = "WholeRecord"
	OwnCopies      = "OwnCopies"
	Ordered        = "Ordered"
	FreeIDs        = "FreeIDs"
	Validates      = "Validates"
	Contexts       = "Contexts"
	Lossless       = "Lossless"
	ExactActions   = "ExactActions"
	WholeDeletes   = "WholeDeletes"
	StoppedError   = "StoppedError"
	ConcurrentStop = "ConcurrentStop"
	SinceLookup    = "SinceLookup"
	ExpiryDeletes  = "ExpiryDeletes"
	SelfRenewing   = "SelfRenewing"
	SelfHealing    = "SelfHealing"
	Ownership      = "Ownership"
	Bounded        = "Bounded"
	LastView       = "LastView"
	InitWhileUsed  = "InitWhileUsed"
	Closer         = "Closer"

	HookKill    = "hook Kill"
	HookCut     = "hook Cut"
	HookVanish  = "hook Vanish"
	HookRevoke  = "hook Revoke"
	HookCorrupt = "hook Corrupt"
	HookDrain   = "hook Drain"
)
