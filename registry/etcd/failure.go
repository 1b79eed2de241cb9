package etcd

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The classes of errors overlap.

// errLearner is etcd's answer from a member that doesn't serve yet.
var errLearner = rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner)

// isUnanswered reports whether a request should be sent again at once, as far as it is known not to have been answered.
func isUnanswered(err error) bool {
	switch grpcCode(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return !isAnswer(err)
	}
	return errors.Is(err, errLearner) // another member may serve it
}

// isTokenInvalid reports whether another token may do.
func isTokenInvalid(err error) bool {
	return errors.Is(err, rpctypes.ErrInvalidAuthToken) || errors.Is(err, rpctypes.ErrAuthOldRevision)
}

// isAnswer reports whether etcd itself has answered, so that there is nothing to wait for.
func isAnswer(err error) bool {
	if errors.Is(err, errClientClosed) {
		return true
	}
	if errors.Is(err, errLearner) {
		return false
	}
	var said rpctypes.EtcdError
	return errors.As(err, &said) && said.Code() != codes.Unavailable && !errors.Is(err, context.DeadlineExceeded)
}

// isTooLarge reports whether etcd or gRPC refuses a request for its size.
func isTooLarge(err error) bool {
	return errors.Is(err, rpctypes.ErrRequestTooLarge) ||
		status.Code(err) == codes.ResourceExhausted && !errors.Is(err, rpctypes.ErrNoSpace) && !errors.Is(err, rpctypes.ErrTooManyRequests)
}

// grpcCode returns the gRPC code that an error of the etcd client stands for.
func grpcCode(err error) codes.Code {
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
