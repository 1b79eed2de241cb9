// Package etcderr tells apart what etcd, gRPC and the client say when a request fails.
package etcderr

import (
	"context"
	"errors"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var (
	// ErrClientClosed says that the caller has closed the client that we were lent.
	ErrClientClosed = errors.New("the etcd client given with the option Client is closed")
	// ErrMixedClusters says that one client gets answers from several clusters.
	ErrMixedClusters = errors.New("the addresses are of different etcd clusters")
)

// traits are what follows from an error. They overlap.
type traits struct {
	answer     bool // etcd has decided
	unanswered bool // nobody has said anything about the request
	elsewhere  bool // another member, or the same one with another token, may say something else
	identity   bool // etcd doesn't know who asks
	refused    bool // until an administrator changes something
	size       bool // the request or its answer is too large
	trips      bool // asking costs more than it may bring: a circuit breaker opens
}

// known are the errors whose traits don't follow from their kind.
var known = []struct {
	err error
	traits
}{
	{rpctypes.ErrAuthFailed, traits{answer: true, identity: true, refused: true, trips: true}},
	{rpctypes.ErrUserEmpty, traits{answer: true, identity: true, refused: true}},
	{rpctypes.ErrUserNotFound, traits{answer: true, identity: true, refused: true}},
	{rpctypes.ErrInvalidAuthMgmt, traits{answer: true, identity: true, refused: true}},
	{rpctypes.ErrPermissionDenied, traits{answer: true, refused: true}},
	{rpctypes.ErrInvalidAuthToken, traits{answer: true, identity: true, elsewhere: true}},
	{rpctypes.ErrAuthOldRevision, traits{answer: true, identity: true, elsewhere: true}},
	{rpctypes.ErrTooManyRequests, traits{answer: true, elsewhere: true}},
	{rpctypes.ErrCorrupt, traits{answer: true, elsewhere: true}},
	{rpctypes.ErrRequestTooLarge, traits{answer: true, size: true}},
	// These members don't serve: one is a learner, one is starting and doesn't know the cluster's version yet.
	{rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner), traits{unanswered: true}},
	{rpctypes.ErrNotCapable, traits{unanswered: true}},
	{ErrClientClosed, traits{answer: true, identity: true}},
	{ErrMixedClusters, traits{answer: true, trips: true}},
}

func traitsOf(err error) traits {
	if err == nil {
		return traits{}
	}
	t := kindOf(err)
	for _, k := range known {
		if errors.Is(err, k.err) {
			t = k.traits
			break
		}
	}
	t.answer = t.answer && !errors.Is(err, context.DeadlineExceeded) // an older error, that may be why nobody answers
	return t
}

// kindOf returns the traits of most errors. What isn't one of etcd's own was said by something on the way, or by
// something that isn't etcd.
func kindOf(err error) traits {
	var said rpctypes.EtcdError
	etcds, code := errors.As(err, &said), Code(err)
	switch {
	case etcds && code == codes.Unavailable:
		return traits{unanswered: true}
	case etcds:
		return traits{answer: true}
	case code == codes.ResourceExhausted && strings.Contains(err.Error(), tooLarge):
		return traits{size: true}
	}
	return traits{
		unanswered: code == codes.Unavailable || code == codes.DeadlineExceeded || code == codes.Canceled,
		elsewhere:  true,
	}
}

// tooLarge is in gRPC's own refusals of a request or an answer (rpc_util.go).
const tooLarge = "larger than max"

// IsAnswer reports whether etcd itself has answered, so that there is nothing to wait for.
func IsAnswer(err error) bool { return traitsOf(err).answer }

// IsUnanswered reports whether a request should be sent again at once, as far as it is known not to have been answered.
func IsUnanswered(err error) bool { return traitsOf(err).unanswered }

// MayDiffer reports whether another member, or the same one with another token, may say something else.
func MayDiffer(err error) bool { return traitsOf(err).elsewhere }

// IsIdentity reports whether etcd doesn't know who asks.
func IsIdentity(err error) bool { return traitsOf(err).identity }

// IsTokenInvalid reports whether another token may do.
func IsTokenInvalid(err error) bool {
	t := traitsOf(err)
	return t.identity && t.elsewhere
}

// IsRefused reports whether etcd knows this user and says no, or doesn't want to know it.
func IsRefused(err error) bool { return traitsOf(err).refused }

// IsTooLarge reports whether etcd or gRPC refuses a request, or its answer, for its size.
func IsTooLarge(err error) bool { return traitsOf(err).size }

// TripsBreaker reports whether nobody should ask for a while.
func TripsBreaker(err error) bool { return traitsOf(err).trips }

// Code returns the gRPC code that an error of the etcd client stands for.
func Code(err error) codes.Code {
	if err == nil {
		return codes.OK
	}
	var said rpctypes.EtcdError
	code := status.FromContextError(err).Code()
	switch {
	case errors.As(err, &said):
		code = said.Code()
	case code == codes.Unknown:
		code = status.Code(err)
	}
	if code == codes.OK || code > codes.Unauthenticated {
		return codes.Unknown
	}
	return code
}
