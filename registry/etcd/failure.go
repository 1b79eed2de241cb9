package etcd

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/micro-etcd/micro-etcd/internal/retry"
)

// What the error of a request says. Each question is somebody else's, and an error may get a yes to several:
// transient, whether the same request may succeed another time; answered, whether etcd itself said it, so that a caller
// need not wait any longer, though we go on trying; refused, whether that is a no to who we are, which isn't
// asked about often.

// transient reports whether an error says more about etcd's state than about the request.
func transient(err error) bool {
	for _, final := range []error{
		ErrTooLarge, ErrMalformed, ErrClosed, ErrWithdrawn, ErrNodeID, ErrOption, rpctypes.ErrLeaseTTLTooLarge,
	} {
		if errors.Is(err, final) {
			return false
		}
	}
	return true
}

// answered reports whether an error is etcd's own word, or final in another way, so that waiting doesn't change it.
func answered(err error) bool {
	if errors.Is(err, errClientClosed) {
		return true
	}
	var said rpctypes.EtcdError
	return errors.As(err, &said) && said.Code() != codes.Unavailable && !errors.Is(err, context.DeadlineExceeded)
}

// refused reports whether etcd knows us and says no, or doesn't want to know us.
func refused(err error) bool { return retry.Refused(err) }

// denied reports whether etcd knows us and says that this isn't for us.
func denied(err error) bool { return errors.Is(err, rpctypes.ErrPermissionDenied) }

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
