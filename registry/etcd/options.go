package etcd

import (
	"context"
	"fmt"

	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
)

type (
	authKey          struct{}
	logConfigKey     struct{}
	clientKey        struct{}
	prefixKey        struct{}
	tlsFilesKey      struct{}
	linearizableKey  struct{}
	meterProviderKey struct{}
)

type credentials struct{ username, password string }

// Auth sets the etcd user. Both parts are needed, or neither: Auth("", "") turns authentication off, whatever the
// environment (ETCD_USERNAME, ETCD_PASSWORD) says.
func Auth(username, password string) registry.Option {
	return with(authKey{}, credentials{username, password})
}

// LogConfig lets the etcd client log with its own zap logger. By default the etcd client doesn't log: the registry
// itself reports what matters through registry.Logger. A config that no logger can be made of is an error of New and
// Init. nil means the default.
func LogConfig(config *zap.Config) registry.Option {
	return with(logConfigKey{}, config)
}

// Client makes the registry use an etcd client that the caller owns and closes. It excludes registry.Addrs,
// registry.Secure, registry.TLSConfig, Auth, LogConfig and TLSFiles. A later Client replaces all these, and an Init
// with addresses replaces the client. Its connections are its own: the registry neither keeps a repeated request from a
// member that is silent, nor closes that one's connection, nor says why a connection was lost, and HTTPS_PROXY counts.
// It should set DialKeepAliveTime, or a connection that dies silently goes unnoticed.
func Client(client *clientv3.Client) registry.Option {
	return with(clientKey{}, client)
}

// DefaultPrefix is where go-micro's etcd registries keep their records.
const DefaultPrefix = "/micro/registry/"

// Prefix sets the directory for all records: one prefix, one tenant. A missing slash at its end is added; an empty
// prefix is an error. The default is [DefaultPrefix], which the other go-micro etcd registries use. It can't be changed
// once the registry is in use. Prefixes of different tenants must not lie within each other.
func Prefix(prefix string) registry.Option {
	return with(prefixKey{}, prefix)
}

// TLSFiles turns TLS on with PEM files: the CA that signed the server's certificate, and the client's certificate and
// key. An empty caFile means the system's roots; certFile and keyFile belong together and may both be empty. With IP
// addresses for endpoints, a server's certificate may be for any of them. It excludes registry.TLSConfig and http://
// addresses. The files are read again at every handshake, so that they can be renewed without a restart; while a new
// one is incomplete, what was read before goes on. The environment's ETCD_CACERT, ETCD_CERT and ETCD_KEY do the same.
func TLSFiles(caFile, certFile, keyFile string) registry.Option {
	return with(tlsFilesKey{}, etcdconn.TLSFiles{CA: caFile, Cert: certFile, Key: keyFile})
}

// MeterProvider says where OpenTelemetry's metrics of this registry go; docs/metrics.md lists them. nil means the
// default, which is the global provider, also one that is set later (otel.SetMeterProvider); without any the metrics go
// nowhere. After an Init with another provider the one before is told nothing more. Close ends the metrics; a registry
// that is never closed stays known to its provider. An error of the provider's goes to OpenTelemetry's error handler.
// As OpenTelemetry asks of all instruments, the provider's mustn't block or panic: a request waits for its Record.
//
// Of several registries with one provider, counts and numbers add up, but a gauge shows one of them.
func MeterProvider(provider metric.MeterProvider) registry.Option {
	return with(meterProviderKey{}, provider)
}

// Linearizable makes this one GetService ask etcd's leader instead of the local view: it costs a round trip, and fails
// while etcd is away. It may stand before or after registry.GetContext. Within an option of your own that calls both it
// must come last: go-micro's options have only a context to leave a mark in, and GetContext replaces that.
func Linearizable() registry.GetOption {
	return func(o *registry.GetOptions) {
		o.Context = keep(o.Context, linearizableKey{}, true)
	}
}

// gatherGet returns what the options of a lookup come to. A mark counts although a later registry.GetContext has
// replaced the context that it was in.
func gatherGet(opts []registry.GetOption) (ctx context.Context, linearizable bool, err error) {
	var o registry.GetOptions
	for i := range opts {
		if o, err = gather(o, opts[i:i+1]); err != nil {
			return nil, false, err
		}
		linearizable = linearizable || isLinearizable(o.Context)
	}
	return o.Context, linearizable, nil
}

func isLinearizable(ctx context.Context) bool {
	_, given := value[bool](ctx, linearizableKey{})
	return given
}

var (
	errNilOption = fmt.Errorf("%w: an option is nil", ErrOption)
	errNilFilter = fmt.Errorf("%w: a filter is nil", ErrOption)
)

// gather adds options to o. With an error, which is that one is nil, it returns what the others come to.
func gather[T any, O ~func(*T)](o T, opts []O) (T, error) {
	var err error
	for _, opt := range opts {
		if opt == nil {
			err = errNilOption
			continue
		}
		opt(&o)
	}
	return o, err
}

func with(key, value any) registry.Option {
	return func(o *registry.Options) { o.Context = keep(o.Context, key, value) }
}

// option returns what an option stored under its key, and whether it was given.
func option[T any](o registry.Options, key any) (T, bool) { return value[T](o.Context, key) }

// keep puts a value into the context of options, which begin without one.
func keep(ctx context.Context, key, value any) context.Context {
	if ctx == nil {
		ctx = context.Background()
	}
	return context.WithValue(ctx, key, value)
}

func value[T any](ctx context.Context, key any) (v T, ok bool) {
	if ctx != nil {
		v, ok = ctx.Value(key).(T)
	}
	return v, ok
}
