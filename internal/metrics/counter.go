package metrics

import (
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc/codes"
)

// counter counts by an enumeration.
type counter[E ~int32] struct {
	counts []atomic.Int64
	labels []metric.ObserveOption
}

func newCounter[E ~int32](label string, names []string) counter[E] {
	c := counter[E]{counts: make([]atomic.Int64, len(names))}
	for _, name := range names {
		c.labels = append(c.labels, metric.WithAttributeSet(attribute.NewSet(attribute.String(label, name))))
	}
	return c
}

func (c *counter[E]) Add(e E) { c.counts[e].Add(1) }

// Get returns how often e was added.
func (c *counter[E]) Get(e E) int { return int(c.counts[e].Load()) }

func (c *counter[E]) observe(o metric.Observer, into metric.Int64Observable) {
	for e := range c.counts {
		o.ObserveInt64(into, c.counts[e].Load(), c.labels[e])
	}
}

// requestCounts counts requests by method and code.
type requestCounts [len(methods)][len(CodeNames)]atomic.Int64

func (r *requestCounts) add(m Method, c codes.Code) { r[m][c].Add(1) }

func (r *requestCounts) observe(o metric.Observer, into metric.Int64Observable) {
	for m := range r {
		for c := range r[m] {
			if n := r[m][c].Load(); n > 0 {
				o.ObserveInt64(into, n, requestLabels(Method(m), codes.Code(c))) //nolint:gosec // both are small
			}
		}
	}
}

func requestLabels(m Method, c codes.Code) metric.MeasurementOption {
	labels := []attribute.KeyValue{attribute.String("rpc.method", methods[m])}
	if c != codes.OK {
		labels = append(labels, attribute.String("error.type", CodeNames[c]))
	}
	return metric.WithAttributeSet(attribute.NewSet(labels...))
}

func label(name, value string) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attribute.String(name, value)))
}
