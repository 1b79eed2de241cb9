package etcderr

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestWhatFollowsFromAnError(t *testing.T) {
	verdicts := []struct {
		name    string
		verdict func(error) bool
	}{
		{"answer", IsAnswer},
		{"unanswered", IsUnanswered},
		{"may differ", MayDiffer},
		{"identity", IsIdentity},
		{"token", IsTokenInvalid},
		{"refused", IsRefused},
		{"too large", IsTooLarge},
	}
	for _, c := range []struct {
		err  error
		want []string
	}{
		{nil, nil},
		{rpctypes.ErrAuthFailed, []string{"answer", "identity", "refused"}},
		{fmt.Errorf("register: %w", rpctypes.ErrAuthFailed), []string{"answer", "identity", "refused"}},
		{fmt.Errorf("%w: %w", context.DeadlineExceeded, rpctypes.ErrAuthFailed), []string{"identity", "refused"}},
		{rpctypes.ErrUserEmpty, []string{"answer", "identity", "refused"}},
		{rpctypes.ErrUserNotFound, []string{"answer", "identity", "refused"}},
		{rpctypes.ErrInvalidAuthMgmt, []string{"answer", "identity", "refused"}},
		{rpctypes.Error(rpctypes.ErrGRPCPermissionDenied), []string{"answer", "refused"}},
		{rpctypes.ErrInvalidAuthToken, []string{"answer", "may differ", "identity", "token"}},
		{rpctypes.ErrAuthOldRevision, []string{"answer", "may differ", "identity", "token"}},
		{ErrClientClosed, []string{"answer", "identity"}},
		{ErrMixedClusters, []string{"answer"}},
		{rpctypes.ErrTooManyRequests, []string{"answer", "may differ"}},
		{rpctypes.ErrCorrupt, []string{"answer", "may differ"}},
		{rpctypes.ErrNoSpace, []string{"answer"}},
		{rpctypes.ErrCompacted, []string{"answer"}},
		{rpctypes.ErrRequestTooLarge, []string{"answer", "too large"}},
		{
			status.Error(codes.ResourceExhausted, "trying to send message larger than max (2097153 vs. 2097152)"),
			[]string{"too large"},
		},
		{status.Error(codes.ResourceExhausted, "grpc: received message larger than max (5 vs. 4)"), []string{"too large"}},
		{status.Error(codes.ResourceExhausted, "overloaded"), []string{"may differ"}},
		{rpctypes.ErrNoLeader, []string{"unanswered"}},
		{rpctypes.ErrTimeout, []string{"unanswered"}},
		{rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner), []string{"unanswered"}},
		{rpctypes.ErrNotCapable, []string{"unanswered"}},
		{status.Error(codes.Unavailable, "connection refused"), []string{"unanswered", "may differ"}},
		{context.DeadlineExceeded, []string{"unanswered", "may differ"}},
		{context.Canceled, []string{"unanswered", "may differ"}},
		{status.Error(codes.Unimplemented, "unknown service"), []string{"may differ"}},
		{errors.New("whatever"), []string{"may differ"}},
	} {
		var got []string
		for _, v := range verdicts {
			if v.verdict(c.err) {
				got = append(got, v.name)
			}
		}
		require.Equal(t, c.want, got, c.err)
	}
}

func TestCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want codes.Code
	}{
		{nil, codes.OK},
		{context.DeadlineExceeded, codes.DeadlineExceeded},
		{rpctypes.ErrCompacted, codes.OutOfRange},
		{fmt.Errorf("list: %w", rpctypes.ErrPermissionDenied), codes.PermissionDenied},
		{status.Error(codes.Unavailable, "no"), codes.Unavailable},
		{status.Error(codes.Code(99), "from the future"), codes.Unknown},
		{errors.New("whatever"), codes.Unknown},
	} {
		require.Equal(t, c.want, Code(c.err), c.err)
	}
}
