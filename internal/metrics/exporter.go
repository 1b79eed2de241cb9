package metrics

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc/codes"
)

// exporter is what one export made at a MeterProvider. A provider that is collecting makes whoever registers or
// unregisters a callback wait, so no mutex guards this.
type exporter struct {
	duration atomic.Pointer[metric.Float64Histogram]
	reading  atomic.Pointer[metric.Registration]
}

func (e *exporter) begin(p metric.MeterProvider, observe func(metric.Observer, *instruments)) {
	with := &maker{Meter: p.Meter(scope)}
	i := newInstruments(with)
	reading, err := with.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		observe(o, i)
		return nil
	}, with.observed...)
	if reading != nil {
		e.reading.Store(&reading)
	}
	if err = errors.Join(with.err, err); err != nil {
		otel.Handle(err)
		return
	}
	e.duration.Store(&i.duration)
}

// end makes the provider forget what begin told it, if that is done.
func (e *exporter) end() {
	e.duration.Store(nil)
	if reading := e.reading.Swap(nil); reading != nil {
		if err := (*reading).Unregister(); err != nil {
			otel.Handle(err)
		}
	}
}

// record tells the provider of one request.
func (e *exporter) record(ctx context.Context, took time.Duration, m Method, c codes.Code) {
	if d := e.duration.Load(); d != nil && (*d).Enabled(ctx) {
		(*d).Record(ctx, took.Seconds(), requestLabels(m, c))
	}
}
