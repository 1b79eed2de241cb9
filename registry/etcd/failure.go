package etcd

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The classes overlap. isRetriable: the same request may succeed later. isAnswer: etcd itself has answered, so callers
// stop waiting while the registry goes on trying. isRefused: etcd rejects who we are or what we ask, so tries are rare.

func isRetriable(err error) bool {
	for _, final := range []error{
		ErrTooLarge, ErrMalformed, ErrClosed, ErrWithdrawn, ErrNodeID, ErrOption, rpctypes.ErrLeaseTTLTooLarge,
	} {
		if errors.Is(err, final) {
			return false
		}
	}
	return true
}

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

// tooLarge turns the ways in which etcd and gRPC refuse a big request into ErrTooLarge.
func tooLarge(err error, size int) error {
	if !isTooLarge(err) {
		return err
	}
	return fmt.Errorf("%w: %d bytes: %w", ErrTooLarge, size, err)
}

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
