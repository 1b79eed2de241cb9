package etcdconn

import (
	"context"
	"errors"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var (
	// ErrClosed says that the registry is closed.
	ErrClosed = errors.New("registry is closed")
	// ErrDisconnected says that there is no connection.
	ErrDisconnected = errors.New("not connected to etcd")
	// ErrClientClosed says that the caller has closed the client that we were lent.
	ErrClientClosed = errors.New("the etcd client given with the option Client is closed")
	// ErrReplaced says that a call was cut off because another client took over, maybe of another etcd.
	ErrReplaced = errors.New("etcd client was replaced")
)

// The classes of errors overlap.

// errLearner is etcd's answer from a member that doesn't serve yet.
var errLearner = rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner)

// IsUnanswered reports whether a request should be sent again at once, as far as it is known not to have been answered.
func IsUnanswered(err error) bool {
	switch Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return !IsAnswer(err)
	}
	return errors.Is(err, errLearner) // another member may serve it
}

// tooLarge is in gRPC's own refusals of a request or an answer (rpc_util.go).
const tooLarge = "larger than max"

// mayDiffer reports whether another member, or the same one with another token, may say something else: what isn't one
// of etcd's own errors was said by something on the way, or by something that isn't etcd.
func mayDiffer(err error) bool {
	for _, own := range []error{rpctypes.ErrTooManyRequests, rpctypes.ErrCorrupt} {
		if errors.Is(err, own) {
			return true
		}
	}
	var said rpctypes.EtcdError
	return isTokenInvalid(err) || !errors.As(err, &said) && !errors.Is(err, ErrClientClosed) && !IsTooLarge(err)
}

// isTokenInvalid reports whether another token may do.
func isTokenInvalid(err error) bool {
	return errors.Is(err, rpctypes.ErrInvalidAuthToken) || errors.Is(err, rpctypes.ErrAuthOldRevision)
}

// IsAnswer reports whether etcd itself has answered, so that there is nothing to wait for.
func IsAnswer(err error) bool {
	if errors.Is(err, ErrClientClosed) {
		return true
	}
	if errors.Is(err, errLearner) {
		return false
	}
	var said rpctypes.EtcdError
	return errors.As(err, &said) && said.Code() != codes.Unavailable && !errors.Is(err, context.DeadlineExceeded)
}

// IsTooLarge reports whether etcd or gRPC refuses a request for its size.
func IsTooLarge(err error) bool {
	return errors.Is(err, rpctypes.ErrRequestTooLarge) ||
		status.Code(err) == codes.ResourceExhausted && strings.Contains(err.Error(), tooLarge)
}

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
