package etcd

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// metrics are what a registry counts, whether or not somebody collects it: what happens is added
// to a number, and OpenTelemetry reads the numbers when it likes. Only requests, which are rare and
// dear, go to its instruments at once.
type metrics struct {
	lookups         lookups
	leases          counter[leaseChange]
	reregistrations counter[restoreCause]
	lists           counter[listCause]
	events          counter[eventType]

	instruments atomic.Pointer[instruments]
	closed      atomic.Bool

	mu      sync.Mutex // for replacing instruments
	reading metric.Registration
}

func newMetrics() *metrics {
	m := &metrics{
		leases:          newCounter[leaseChange]("state", leaseChanges[:]),
		reregistrations: newCounter[restoreCause]("cause", restoreCauses[:]),
		lists:           newCounter[listCause]("cause", listCauses[:]),
		events:          newCounter[eventType]("type", eventTypes[:]),
	}
	m.instruments.Store(noInstruments())
	return m
}

// counter counts by an enumeration.
type counter[E ~int32] struct {
	counts []atomic.Int64
	labels []metric.ObserveOption
}

func newCounter[E ~int32](label string, names []string) counter[E] {
	t := counter[E]{counts: make([]atomic.Int64, len(names))}
	for _, name := range names {
		t.labels = append(t.labels, metric.WithAttributeSet(attribute.NewSet(attribute.String(label, name))))
	}
	return t
}

func (t *counter[E]) add(e E) { t.counts[e].Add(1) }

func (t *counter[E]) observe(o metric.Observer, into metric.Int64Observable) {
	for e := range t.counts {
		o.ObserveInt64(into, t.counts[e].Load(), t.labels[e])
	}
}

// origin says what a look-up was answered from.
type origin int32

const (
	fromView      origin = iota
	fromStaleView        // one that isn't kept up to date at the moment
	fromEtcd             // it had to wait for an answer
	origins
)

var originNames = [origins]string{"local", "stale", "remote"}

// lookups counts look-ups so that none can notice: each adds to one stripe of many, at random, so
// that cores don't wait for each other.
type lookups [64]stripe

// stripe fills two lines of a cache: processors fetch them in pairs.
type stripe struct {
	counts [origins]atomic.Int64
	_      [128 - origins*8]byte
}

func (l *lookups) add(o origin) { l[rand.Uint32()%uint32(len(l))].counts[o].Add(1) }

func (l *lookups) total(o origin) int64 {
	var n int64
	for i := range l {
		n += l[i].counts[o].Load()
	}
	return n
}

// answer is what etcd gives to a request. Its type says which one that was.
type answer interface {
	*clientv3.GetResponse | *clientv3.DeleteResponse | *clientv3.TxnResponse | *pb.LeaseGrantResponse |
		*clientv3.LeaseRevokeResponse | *clientv3.LeaseTimeToLiveResponse | *clientv3.LeaseKeepAliveResponse
}

// Methods of etcd's gRPC services, as etcd names them.
const (
	methodKeepAlive = "LeaseKeepAlive"
	methodWatch     = "Watch"
)

func methodOf[T answer](a T) string {
	switch any(a).(type) {
	case *clientv3.GetResponse:
		return "Range"
	case *clientv3.DeleteResponse:
		return "DeleteRange"
	case *clientv3.TxnResponse:
		return "Txn"
	case *pb.LeaseGrantResponse:
		return "LeaseGrant"
	case *clientv3.LeaseRevokeResponse:
		return "LeaseRevoke"
	case *clientv3.LeaseTimeToLiveResponse:
		return "LeaseTimeToLive"
	}
	return methodKeepAlive
}

// measure does one request and takes note of how it went.
func measure[T answer](ctx context.Context, m *metrics, request func() (T, error)) (T, error) {
	began := time.Now()
	a, err := request()
	labels := requestLabels(methodOf(a), err)
	to := m.instruments.Load()
	to.requests.Add(ctx, 1, labels)
	to.duration.Record(ctx, time.Since(began).Seconds(), labels)
	return a, err
}

// streamed takes note of what happened on a stream, where nothing takes a time of its own.
func (m *metrics) streamed(ctx context.Context, method string, err error) {
	m.instruments.Load().requests.Add(ctx, 1, requestLabels(method, err))
}

func requestLabels(method string, err error) metric.MeasurementOption {
	labels := []attribute.KeyValue{attribute.String("rpc.method", method)}
	if err != nil {
		labels = append(labels, attribute.String("error.type", codeNames[grpcCode(err)]))
	}
	return metric.WithAttributeSet(attribute.NewSet(labels...))
}

// grpcCode returns the gRPC code that an error of the etcd client stands for.
func grpcCode(err error) codes.Code {
	var said rpctypes.EtcdError
	code := status.FromContextError(err).Code()
	switch {
	case errors.As(err, &said):
		code = said.Code()
	case code == codes.Unknown:
		code = status.Code(err)
	}
	if int(code) >= len(codeNames) || code == codes.OK {
		return codes.Unknown
	}
	return code
}

// codeNames are gRPC's names of its codes (doc/statuscodes.md of gRPC), which Go spells differently.
var codeNames = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
	"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}
