package etcd

import (
	"context"
	"errors"
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
// to a number, and OpenTelemetry reads the numbers when it likes. Only the time that a request took goes
// to its instrument at once.
type metrics struct {
	requests        requestCounts
	lookups         counter[origin]
	leases          counter[leaseChange]
	reregistrations counter[restoreCause]
	lists           counter[listCause]
	events          counter[eventType]

	exporter atomic.Pointer[exporter]
	closed   atomic.Bool
}

func newMetrics() *metrics {
	m := &metrics{
		lookups:         newCounter[origin]("source", originNames[:]),
		leases:          newCounter[leaseChange]("state", leaseChanges[:]),
		reregistrations: newCounter[restoreCause]("cause", restoreCauses[:]),
		lists:           newCounter[listCause]("cause", listCauses[:]),
		events:          newCounter[eventType]("type", eventTypes[:]),
	}
	m.exporter.Store(new(exporter))
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

// answer is what etcd gives to a request. Its type says which one that was.
type answer interface {
	*clientv3.GetResponse | *clientv3.TxnResponse | *pb.LeaseGrantResponse |
		*clientv3.LeaseRevokeResponse | *pb.LeaseKeepAliveResponse
}

// methodOf returns the method that gives such an answer, and its header, if there is an answer.
func methodOf[T answer](a T) (method, *pb.ResponseHeader) {
	switch a := any(a).(type) {
	case *clientv3.GetResponse:
		return methodRange, (*pb.RangeResponse)(a).GetHeader()
	case *clientv3.TxnResponse:
		return methodTxn, (*pb.TxnResponse)(a).GetHeader()
	case *clientv3.LeaseRevokeResponse:
		return methodLeaseRevoke, (*pb.LeaseRevokeResponse)(a).GetHeader()
	case *pb.LeaseGrantResponse:
		return methodLeaseGrant, a.GetHeader()
	case *pb.LeaseKeepAliveResponse:
		return methodKeepAlive, a.GetHeader()
	}
	panic("not an answer")
}

// requested takes note of how a request went. It calls the MeterProvider, so it isn't for who holds a mutex; but for
// renewals, which must not wait for it.
func (m *metrics) requested(ctx context.Context, of method, took time.Duration, err error) {
	code := grpcCode(err)
	m.requests.add(of, code)
	if of != methodKeepAlive {
		m.exporter.Load().record(ctx, took, of, code)
	}
}

// streamed takes note of what happened on a stream, where nothing takes a time of its own.
func (m *metrics) streamed(of method, err error) {
	m.requests.add(of, grpcCode(err))
}

// requestCounts counts requests by method and code.
type requestCounts [len(methods)][len(codeNames)]atomic.Int64

func (r *requestCounts) add(m method, c codes.Code) { r[m][c].Add(1) }

func (r *requestCounts) observe(o metric.Observer, into metric.Int64Observable) {
	for m := range r {
		for c := range r[m] {
			if n := r[m][c].Load(); n > 0 {
				o.ObserveInt64(into, n, requestLabels(method(m), codes.Code(c))) //nolint:gosec // both are small
			}
		}
	}
}

func requestLabels(m method, c codes.Code) metric.MeasurementOption {
	labels := []attribute.KeyValue{attribute.String("rpc.method", methods[m])}
	if c != codes.OK {
		labels = append(labels, attribute.String("error.type", codeNames[c]))
	}
	return metric.WithAttributeSet(attribute.NewSet(labels...))
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
	if int(code) >= len(codeNames) || code == codes.OK {
		return codes.Unknown
	}
	return code
}
