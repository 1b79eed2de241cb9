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
		{"trips", TripsBreaker},
	}
	for _, c := range []struct {
		err  error
		want []string
	}{
		{nil, nil},
		{rpctypes.ErrAuthFailed, []string{"answer", "identity", "refused", "trips"}},
		{fmt.Errorf("register: %w", rpctypes.ErrAuthFailed), []string{"answer", "identity", "refused", "trips"}},
		{fmt.Errorf("%w: %w", context.DeadlineExceeded, rpctypes.ErrAuthFailed), []string{"identity", "refused", "trips"}},
		{rpctypes.ErrUserEmpty, []string{"answer", "identity", "refused"}},
		{rpctypes.ErrUserNotFound, []string{"answer", "identity", "refused"}},
		{rpctypes.ErrInvalidAuthMgmt, []string{"answer", "identity", "refused"}},
		{rpctypes.Error(rpctypes.ErrGRPCPermissionDenied), []string{"answer", "refused"}},
		{rpctypes.ErrInvalidAuthToken, []string{"answer", "may differ", "identity", "token"}},
		{rpctypes.ErrAuthOldRevision, []string{"answer", "may differ", "identity", "token"}},
		{ErrClientClosed, []string{"answer", "identity"}},
		{ErrMixedClusters, []string{"answer", "trips"}},
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

// Whatever somebody says, in whichever words: what follows from it doesn't contradict itself, and stays the same where
// operation and key were put in front.
func FuzzError(f *testing.F) {
	for _, text := range []string{
		"etcdserver: user name is empty", "etcdserver: invalid auth token", "etcdserver: no leader",
		"etcdserver: mvcc: database space exceeded", "trying to send message larger than max (2 vs. 1)", "",
		"error reading from server: EOF", "etcdserver: request is too large", "context canceled",
	} {
		for _, code := range []codes.Code{codes.Unknown, codes.InvalidArgument, codes.Unavailable, codes.ResourceExhausted} {
			f.Add(uint32(code), text)
		}
	}
	f.Fuzz(func(t *testing.T, code uint32, text string) {
		said := status.Error(codes.Code(code), text)
		for _, err := range []error{said, rpctypes.Error(said), errors.New(text)} {
			if err == nil {
				continue
			}
			require.False(t, IsAnswer(err) && IsUnanswered(err))
			require.False(t, IsRefused(err) && MayDiffer(err))
			require.False(t, IsTokenInvalid(err) && IsRefused(err))
			require.LessOrEqual(t, Code(err), codes.Unauthenticated)
			require.NotEqual(t, codes.OK, Code(err))
			require.Equal(t, traitsOf(err), traitsOf(fmt.Errorf("register %q: %w", text, err)))
		}
	})
}
