package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	merrors "go-micro.dev/v4/errors"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

const (
	waitTime = 10 * time.Second
	pollTime = time.Millisecond
)

// What go-micro's client passes to Mark.
var (
	errRefused = merrors.InternalServerError(
		"go.micro.client", "connection error: dial tcp 10.0.0.0:8080: connect: connection refused",
	)
	errBroke    = merrors.InternalServerError("go.micro.client.transport", "EOF")
	errTimedOut = merrors.Timeout("go.micro.client", "<nil>")
	errHandler  = merrors.InternalServerError("greeter", "no such name")
)

// serverError is how the client gives back what came from the other side.
type serverError string

func (e serverError) Error() string { return string(e) }

func TestOutcomes(t *testing.T) {
	node := &registry.Node{Id: "n", Address: "10.0.0.1:8080"}
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	grpcDial := `connection error: desc = "transport: Error while dialing: dial tcp %s: connect: connection refused"`
	for _, c := range []struct {
		want outcome
		err  error
	}{
		{responded, nil},
		{responded, errHandler},
		{responded, errors.New("no such name")},
		{responded, merrors.NotFound("go.micro.client", "no such name")},
		{responded, merrors.InternalServerError("go.micro.client", "panic recovered: oh")},
		{responded, merrors.InternalServerError("go.micro.client.codec", "invalid character")},
		{responded, merrors.InternalServerError("go.micro.client.transport", "500 Internal Server Error: oh")},
		{responded, serverError(errRefused.Error())}, // passed on by a handler
		{responded, serverError(errTimedOut.Error())},
		{responded, merrors.Timeout("backend", "slow")},
		{responded, merrors.New("go.micro.client", "overloaded", 503)},
		{responded, status.Error(codes.Unavailable, "overloaded")},
		{responded, status.Error(codes.Internal, "oh")},
		{responded, merrors.New("go.micro.client", fmt.Sprintf(grpcDial, "10.9.9.9:1"), 503)}, // the handler's own client
		{inconclusive, context.Canceled},
		{inconclusive, merrors.Timeout("go.micro.client", "context canceled")},
		{inconclusive, status.Error(codes.Canceled, "context canceled")},
		{unanswered, errTimedOut},
		{unanswered, merrors.Timeout("go.micro.client", "context deadline exceeded")},
		{unanswered, context.DeadlineExceeded},
		{unanswered, status.Error(codes.DeadlineExceeded, "context deadline exceeded")},
		{unanswered, merrors.New("go.micro.client", "error reading from server: EOF", 503)},
		{unreachable, errRefused},
		{unreachable, errBroke},
		{
			unreachable, merrors.InternalServerError("go.micro.client", "connection error: dial tcp 10.0.0.1:8080: i/o timeout"),
		},
		{unreachable, merrors.InternalServerError(
			"go.micro.client.transport", "read tcp 10.0.0.2:1->10.0.0.1:8080: read: connection reset by peer",
		)},
		{unreachable, merrors.InternalServerError(
			"go.micro.client.transport", "write tcp 10.0.0.2:1->10.0.0.1:8080: write: broken pipe",
		)},
		{unreachable, merrors.InternalServerError("go.micro.client", "Error sending request: context deadline exceeded")},
		{unreachable, merrors.New("go.micro.client", fmt.Sprintf(grpcDial, "10.0.0.1:8080"), 503)},
		{unreachable, status.Errorf(codes.Unavailable, grpcDial, "10.0.0.1:8080")},
		{unreachable, fmt.Errorf("call: %w", errRefused)},
		{unreachable, io.ErrUnexpectedEOF},
		{unreachable, &url.Error{Op: "Post", URL: "http://10.0.0.1:8080", Err: dial}},
		{unreachable, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}},
		{unreachable, syscall.EPIPE},
	} {
		require.Equal(t, c.want, classifyOutcome((*catalog.Node)(node), c.err), "%v", c.err)
	}
}

func TestOnlyWhatWasNotSentIsRetried(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		want bool
		ctx  context.Context
		err  error
	}{
		{true, t.Context(), errRefused},
		{true, t.Context(), fmt.Errorf("wrapped: %w", errRefused)},
		{true, t.Context(), merrors.InternalServerError(
			"go.micro.client.transport", "write tcp 10.0.0.2:1->10.0.0.1:8080: write: broken pipe",
		)},
		{true, t.Context(), merrors.InternalServerError(
			"go.micro.client.transport",
			"readfrom tcp 10.0.0.2:1->10.0.0.1:8080: write tcp 10.0.0.2:1->10.0.0.1:8080: write: broken pipe",
		)},
		{true, t.Context(), &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}},
		{false, ended, errRefused},
		{false, t.Context(), nil},
		{false, t.Context(), errBroke},
		{false, t.Context(), errTimedOut},
		{false, t.Context(), errHandler},
		{false, t.Context(), merrors.InternalServerError(
			"go.micro.client.transport", "read tcp 10.0.0.2:1->10.0.0.1:8080: read: connection reset by peer",
		)},
		{false, t.Context(), serverError(errRefused.Error())},
		{false, t.Context(), merrors.InternalServerError("go.micro.client.transport", "500 write tcp")},
		{false, t.Context(), &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}},
		{false, t.Context(), io.EOF},
	} {
		retry, err := RetryUnsent(c.ctx, nil, 0, c.err)
		require.NoError(t, err)
		require.Equal(t, c.want, retry, "%v", c.err)
	}
}

// inBubble runs a test in virtual time with a selector of n nodes.
func inBubble(
	t *testing.T, n int, test func(*testing.T, *staged, []*registry.Node, *nodeSelector), opts ...selector.Option,
) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f, nodes := stage(t, "greeter"), some(n)
		f.put("1", nodes...)
		s := f.selector(opts...)
		pick(t, s, "greeter")
		test(t, f, nodes, s)
	})
}

func TestAnUnreachableNodeIsEjectedAtOnce(t *testing.T) {
	for _, err := range []error{errRefused, errBroke} {
		inBubble(t, 5, func(t *testing.T, _ *staged, nodes []*registry.Node, s *nodeSelector) {
			s.Mark("greeter", nodes[2], err)
			require.Equal(t, ids(slices.Delete(slices.Clone(nodes), 2, 3)), chosen(t, s, "greeter"))
		})
	}
}

func TestASilentNodeIsEjectedAfterTwoCallsInARow(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, _ *staged, nodes []*registry.Node, s *nodeSelector) {
		s.Mark("greeter", nodes[0], errTimedOut)
		s.Mark("greeter", nodes[0], errHandler)
		s.Mark("greeter", nodes[0], errTimedOut)
		require.Equal(t, ids(nodes), chosen(t, s, "greeter"))
		s.Mark("greeter", nodes[1], errTimedOut)
		s.Mark("greeter", nodes[0], errTimedOut)
		require.Equal(t, ids(nodes[1:]), chosen(t, s, "greeter"))
	})
}

func TestHandlersErrorsAndGivingUpDontCount(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, _ *staged, nodes []*registry.Node, s *nodeSelector) {
		for range 100 {
			s.Mark("greeter", nodes[0], errHandler)
			s.Mark("greeter", nodes[1], context.Canceled)
		}
		require.Equal(t, ids(nodes), chosen(t, s, "greeter"))
		s.Mark("greeter", nodes[1], errTimedOut)
		s.Mark("greeter", nodes[1], context.Canceled)
		s.Mark("greeter", nodes[1], errTimedOut)
		require.Equal(t, append([]string{"n0000"}, ids(nodes[2:])...), chosen(t, s, "greeter"), "which is no answer either")
	})
}

// dead plays a node that is never reached again, and returns the times at which it was called.
func dead(t *testing.T, s *nodeSelector, node *registry.Node, d time.Duration) []time.Duration {
	t.Helper()
	var calls []time.Duration
	for began := time.Now(); time.Since(began) < d; time.Sleep(10 * time.Millisecond) {
		for range 5 {
			if n := pick(t, s, "greeter"); n.Id == node.Id {
				calls = append(calls, time.Since(began))
				s.Mark("greeter", n, errRefused)
			} else {
				s.Mark("greeter", n, nil)
			}
		}
	}
	return calls
}

func TestADeadNodeCostsOneCallPerTrial(t *testing.T) {
	inBubble(t, 20, func(t *testing.T, _ *staged, nodes []*registry.Node, s *nodeSelector) {
		calls := dead(t, s, nodes[7], 10*time.Minute)
		require.Less(t, len(calls), 50)
		require.Greater(t, len(calls), 20, "it is tried for ever")
		for i, seconds := range []int{1, 2, 4, 8, 16, 30, 30, 30} {
			gap, ejected := calls[i+1]-calls[i], time.Duration(seconds)*time.Second
			require.LessOrEqual(t, gap, ejected+20*time.Millisecond, i)
			require.GreaterOrEqual(t, gap, ejected/2, i)
		}
	})
}

func TestANodeThatAnswersATrialIsBack(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, _ *staged, nodes []*registry.Node, s *nodeSelector) {
		s.Mark("greeter", nodes[0], errRefused)
		time.Sleep(time.Second)
		require.Equal(t, nodes[0].Id, pick(t, s, "greeter").Id, "the next call tries it")
		require.Equal(t, ids(nodes[1:]), chosen(t, s, "greeter"), "and no other")
		s.Mark("greeter", nodes[0], errHandler)
		require.Equal(t, ids(nodes), chosen(t, s, "greeter"))
		s.Mark("greeter", nodes[0], errRefused)
		require.Equal(t, ids(nodes[1:]), chosen(t, s, "greeter"))
		time.Sleep(time.Second)
		require.Equal(t, nodes[0].Id, pick(t, s, "greeter").Id, "its time begins at one second again")
	})
}

func TestATrialWithoutWordIsRepeated(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, _ *staged, nodes []*registry.Node, s *nodeSelector) {
		s.Mark("greeter", nodes[0], errRefused)
		for range 5 {
			time.Sleep(time.Second)
			require.Equal(t, nodes[0].Id, pick(t, s, "greeter").Id)
		}
	})
}

func TestCallsUnderWayDontProlongItsTime(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, _ *staged, nodes []*registry.Node, s *nodeSelector) {
		for range 100 {
			s.Mark("greeter", nodes[0], errBroke)
		}
		time.Sleep(time.Second)
		require.Equal(t, nodes[0].Id, pick(t, s, "greeter").Id)
	})
}

func TestANewRecordEndsItsTime(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		s.Mark("greeter", nodes[0], errRefused)
		f.put("1", nodes[1])
		require.Equal(t, ids(nodes[1:]), chosen(t, s, "greeter"), "another one's record doesn't")
		f.put("1", nodes[0])
		require.Equal(t, ids(nodes), chosen(t, s, "greeter"))
	})
}

func TestMarksOfACopyCount(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
		services, err := f.registry.GetService("greeter")
		require.NoError(t, err)
		s.Mark("greeter", services[0].Nodes[0], errRefused)
		require.Equal(t, ids(nodes[1:]), chosen(t, s, "greeter"))
		s.Mark("greeter", &registry.Node{Id: nodes[0].Id, Address: "10.9.9.9:1"}, nil)
		require.Equal(t, ids(nodes[1:]), chosen(t, s, "greeter"), "of another address they don't")
	})
}

func TestMarksOfWhatIsUnknownDoNothing(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, _ *staged, nodes []*registry.Node, s *nodeSelector) {
		for _, n := range []*registry.Node{nil, {}, {Address: nodes[0].Address}, {Id: "x", Address: "x"}} {
			s.Mark("greeter", n, errRefused)
			s.Mark("greeter", n, nil)
		}
		s.Mark("unknown", nodes[0], errRefused)
		s.Reset("unknown")
		require.Equal(t, ids(nodes), chosen(t, s, "greeter"))
	})
}

func TestResetForgets(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, _ *staged, nodes []*registry.Node, s *nodeSelector) {
		s.Mark("greeter", nodes[0], errRefused)
		s.Reset("greeter")
		require.Equal(t, ids(nodes), chosen(t, s, "greeter"))
	})
}

func TestNeverAllNodesAreEjected(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 20} {
		for name, opts := range map[string][]selector.SelectOption{
			"picked": nil, "filtered": {selector.WithFilter(selector.FilterVersion("1"))},
			"strategy": {selector.WithStrategy(func(s []*registry.Service) selector.Next { return selector.Random(s) })},
		} {
			inBubble(t, n, func(t *testing.T, _ *staged, nodes []*registry.Node, s *nodeSelector) {
				for i := range nodes {
					want := ids(nodes[i:])
					if 4*(n-i) < n {
						want = ids(nodes)
					}
					require.Equal(t, want, chosen(t, s, "greeter", opts...), "%s: %d of %d", name, i, n)
					s.Mark("greeter", nodes[i], errRefused)
				}
				require.Equal(t, ids(nodes), chosen(t, s, "greeter", opts...), name)
			})
		}
	}
}

func TestARetryGetsAnotherNode(t *testing.T) {
	for name, opts := range map[string][]selector.SelectOption{
		"random":   nil,
		"rotating": {selector.WithStrategy(selector.RoundRobin)},
		"filtered": {selector.WithFilter(selector.FilterVersion("1"))},
		"strategy": {selector.WithStrategy(func(s []*registry.Service) selector.Next { return selector.Random(s) })},
	} {
		for range 50 {
			inBubble(t, 4, func(t *testing.T, _ *staged, _ []*registry.Node, s *nodeSelector) {
				next, err := s.Select("greeter", opts...)
				require.NoError(t, err)
				first, err := next()
				require.NoError(t, err)
				s.Mark("greeter", first, errRefused)
				second, err := next()
				require.NoError(t, err)
				require.NotEqual(t, first.Id, second.Id, name)
			})
		}
	}
}

func TestAUsersStrategyIsNotShownWhatIsAside(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, _ *staged, nodes []*registry.Node, s *nodeSelector) {
		s.Mark("greeter", nodes[0], errRefused)
		var shown []string
		first := selector.WithStrategy(func(services []*registry.Service) selector.Next {
			shown = ids(services[0].Nodes)
			return func() (*registry.Node, error) { return services[0].Nodes[0], nil }
		})
		require.Equal(t, nodes[1].Id, pick(t, s, "greeter", first).Id)
		require.Equal(t, ids(nodes[1:]), shown)
		time.Sleep(time.Second)
		require.Equal(t, nodes[0].Id, pick(t, s, "greeter", first).Id, "its time is over")
		require.Equal(t, ids(nodes), shown)
		require.Equal(t, nodes[1].Id, pick(t, s, "greeter", first).Id, "it is tried only once")
		s.Mark("greeter", nodes[0], nil)
		require.Equal(t, nodes[0].Id, pick(t, s, "greeter", first).Id)
	})
}

func TestFiltersAreShownWhatIsAside(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, _ *staged, nodes []*registry.Node, s *nodeSelector) {
		s.Mark("greeter", nodes[0], errRefused)
		all := selector.WithFilter(func(services []*registry.Service) []*registry.Service {
			require.Len(t, services[0].Nodes, 5)
			return services
		})
		require.Equal(t, ids(nodes[1:]), chosen(t, s, "greeter", all))
	})
}

// Whatever fails when: a node that is ejected is picked only when its ejection is over, unless less than a quarter
// would be left, and there is always a node.
func TestRandomMarks(t *testing.T) {
	seed := *randomSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 100 {
		inBubble(t, 1+random.IntN(12), func(t *testing.T, f *staged, nodes []*registry.Node, s *nodeSelector) {
			ejectedSince := make(map[string]time.Time)
			for range 300 {
				switch node := nodes[random.IntN(len(nodes))]; random.IntN(8) {
				case 0:
					s.Mark("greeter", node, errRefused)
					if _, known := ejectedSince[node.Id]; !known {
						ejectedSince[node.Id] = time.Now()
					}
				case 1:
					s.Mark("greeter", node, nil)
					delete(ejectedSince, node.Id)
				case 2:
					f.put("1", node)
					delete(ejectedSince, node.Id)
				case 3:
					time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
				default:
					picked := pick(t, s, "greeter")
					since, ejected := ejectedSince[picked.Id]
					enough := 4*(len(nodes)-len(ejectedSince)) >= len(nodes)
					if ejected && enough {
						require.GreaterOrEqual(t, time.Since(since), 500*time.Millisecond, "%s is ejected", picked.Id)
						ejectedSince[picked.Id] = time.Now() // which was its probe
					}
				}
			}
		})
	}
}

// Whatever a handler says, in whichever words: its node isn't blamed; and what may have been executed isn't repeated.
func FuzzOutcome(f *testing.F) {
	for _, detail := range []string{
		"connection error: dial tcp 10.0.0.1:8080: connect: connection refused", "write tcp: broken pipe", "EOF",
		"500 Internal Server Error: write tcp", "Error sending request: EOF", "context canceled", "",
		`connection error: desc = "transport: Error while dialing: dial tcp 10.0.0.1:8080"`, "transport is closing",
	} {
		for _, id := range []string{clientID, transportID, "greeter"} {
			f.Add(id, detail, int32(500), uint32(codes.Unavailable))
			f.Add(id, detail, int32(408), uint32(codes.DeadlineExceeded))
			f.Add(id, detail, int32(503), uint32(codes.Canceled))
		}
	}
	node := &catalog.Node{Id: "n", Address: "10.0.0.1:8080"}
	f.Fuzz(func(t *testing.T, id, detail string, code int32, grpcCode uint32) {
		micros := merrors.New(id, detail, code)
		grpcs := status.Error(codes.Code(grpcCode), detail)
		for _, err := range []error{micros, fmt.Errorf("call: %w", micros), grpcs, serverError(detail)} {
			if err == nil {
				continue
			}
			o := classifyOutcome(node, err)
			if unsent(err) {
				require.Equal(t, unreachable, o, "%v", err)
			}
		}
		require.Equal(t, responded, classifyOutcome(node, serverError(detail)))
		if id != clientID && id != transportID {
			require.Equal(t, responded, classifyOutcome(node, micros))
		}
		if !strings.Contains(detail, node.Address) {
			require.NotEqual(t, unreachable, classifyOutcome(node, grpcs))
		}
	})
}
