package harness

import (
	"time"

	"go-micro.dev/v4/registry"
)

// Backend is registrytest.Backend with its defaults filled in. A hook is nil if the registry has none; a case that
// needs it is not run then.
type Backend struct {
	Open           func(opts ...registry.Option) (registry.Registry, error)
	Close          func(registry.Registry) error
	Kill           func(registry.Registry) error
	Cut            func(registry.Registry) (restore func(), err error)
	Vanish, Revoke func(service, node string) error
	Corrupt        func(service string) error
	Drain          func(service, node string) (restore func() error, err error)

	Alone bool // no process sees another's registrations

	TTL, Patience, CallTimeout, CaseTimeout time.Duration

	Seed int64
}

// Expiry is how long a killed process's node may still be there.
func (b Backend) Expiry() time.Duration { return 2*b.TTL + b.Patience }
