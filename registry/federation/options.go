package federation

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"time"

	"go-micro.dev/v4/registry"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	"github.com/micro-etcd/micro-etcd/registry/internal/gomicro"
)

// Option is one of [New]'s.
type Option func(*options)

type options struct {
	local   []*datacenter
	remotes []*datacenter
	below   int
	hold    time.Duration
	meters  metric.MeterProvider
}

// The defaults of options.
const (
	defaultBelow = 1
	defaultHold  = 30 * time.Second
)

// Local names the data center that this process is in, and the registry there: the one that it registers at. There must
// be exactly one. A name is a DNS label in lower case, such as "eu1".
func Local(name string, r registry.Registry) Option {
	return func(o *options) { o.local = append(o.local, &datacenter{name: name, registry: r}) }
}

// Remote names another data center and its registry. The order of those options is the order in which they are asked.
func Remote(name string, r registry.Registry) Option {
	return func(o *options) { o.remotes = append(o.remotes, &datacenter{name: name, registry: r}) }
}

// FailoverBelow sets how many nodes a service must have in the local data center for that to serve it. With fewer the
// first remote one does that has any, even if it has fewer still. The default is 1: it fails over when there are none.
func FailoverBelow(nodes int) Option {
	return func(o *options) { o.below = nodes }
}

// Hold sets how long a data center must have had enough nodes again before it serves a service that it has lost to
// another. The default is 30 s; 0 goes back at once. There is no hold when the other has no nodes any more, nor when
// nodes that were lost are back within 5 s, which then their registry had lost.
func Hold(d time.Duration) Option {
	return func(o *options) { o.hold = d }
}

// MeterProvider takes the federation's metrics, which docs/datacenters.md lists. The default is OpenTelemetry's global
// one.
func MeterProvider(p metric.MeterProvider) Option {
	return func(o *options) { o.meters = p }
}

var dnsLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// IsDatacenter reports whether a data center can have a name: it must be a DNS label in lower case.
func IsDatacenter(name string) bool { return dnsLabel.MatchString(name) }

// newOptions returns what options come to.
func newOptions(opts []Option) (*options, error) {
	o := &options{below: defaultBelow, hold: defaultHold, meters: otel.GetMeterProvider()}
	for _, opt := range opts {
		if opt == nil {
			return nil, errNilOption
		}
		opt(o)
	}
	switch {
	case len(o.local) != 1:
		return nil, fmt.Errorf("%w: %d local data centers instead of one", ErrOption, len(o.local))
	case o.below < 1:
		return nil, fmt.Errorf("%w: FailoverBelow(%d): the least is 1", ErrOption, o.below)
	case o.hold < 0:
		return nil, fmt.Errorf("%w: Hold(%v) is negative", ErrOption, o.hold)
	case o.meters == nil:
		return nil, fmt.Errorf("%w: MeterProvider(nil)", ErrOption)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return o, nil
}

// check validates the data centers.
func (o *options) check() error {
	all := o.datacenters()
	for i, d := range all {
		switch {
		case !IsDatacenter(d.name):
			return fmt.Errorf("%w: data center %q: its name isn't a DNS label in lower case", ErrOption, d.name)
		case d.registry == nil:
			return fmt.Errorf("%w: data center %s: its registry is nil", ErrOption, d.name)
		}
		for _, other := range all[:i] {
			switch {
			case other.name == d.name:
				return fmt.Errorf("%w: there are two data centers %s", ErrOption, d.name)
			case reflect.ValueOf(d.registry).Comparable() && other.registry == d.registry:
				return fmt.Errorf("%w: data centers %s and %s have one registry", ErrOption, other.name, d.name)
			}
		}
	}
	return nil
}

// datacenters returns all of them in the order of preference.
func (o *options) datacenters() []*datacenter { return slices.Concat(o.local, o.remotes) }

type (
	datacenterKey struct{}
	everywhereKey struct{}
)

// Datacenter makes GetService ask the registry of one data center, and no other.
func Datacenter(name string) registry.GetOption {
	return func(o *registry.GetOptions) { o.Context = gomicro.Keep(o.Context, datacenterKey{}, name) }
}

// Everywhere makes GetService return the nodes of all data centers that can be asked, one service per version and data
// center, in the order of preference.
func Everywhere() registry.GetOption {
	return func(o *registry.GetOptions) { o.Context = gomicro.Keep(o.Context, everywhereKey{}, true) }
}

// ListEverywhere is [Everywhere] for ListServices.
func ListEverywhere() registry.ListOption {
	return func(o *registry.ListOptions) { o.Context = gomicro.Keep(o.Context, everywhereKey{}, true) }
}
