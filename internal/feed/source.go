package feed

import (
	"context"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// Source is what a selector needs of a registry to pick from what that has without copying it.
type Source struct {
	// Is reports whether a registry is the one whose source this is.
	Is func(registry any) bool
	// Life ends with the registry.
	Life context.Context
	// Check returns why a call isn't served, if so.
	Check func(ctx context.Context) error
	// Follow returns a service that is followed from then on.
	Follow func(ctx context.Context, service string) (Followed, error)
}

// Followed is a service that a registry follows.
type Followed interface {
	// Snapshot returns the service as it is now, or nil. It takes no lock unless the service has changed.
	Snapshot(service string) *catalog.Snapshot
	// IsCached reports whether that is from a file, and may be long gone.
	IsCached() bool
	// Life ends when the registry doesn't follow the service any more.
	Life() context.Context
}

// HasSource is embedded in a registry that is a source, so that its users don't see that.
type HasSource struct{ of *Source }

// NewHasSource is for a registry whose source that is.
func NewHasSource(s *Source) HasSource { return HasSource{s} }

func (h HasSource) source() *Source { return h.of }

// SourceOf returns that of a registry, or nil. A type that embeds one, and may look services up in another way, isn't
// that registry.
func SourceOf(registry any) *Source {
	if r, ok := registry.(interface{ source() *Source }); ok {
		if s := r.source(); s != nil && s.Is(registry) {
			return s
		}
	}
	return nil
}
