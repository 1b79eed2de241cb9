package etcd

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/prober"
	"github.com/micro-etcd/micro-etcd/registry/health"
	"github.com/micro-etcd/micro-etcd/registry/internal/gomicro"
)

type (
	authKey          struct{}
	logConfigKey     struct{}
	clientKey        struct{}
	prefixKey        struct{}
	tlsFilesKey      struct{}
	linearizableKey  struct{}
	meterProviderKey struct{}
	healthCheckKey   struct{}
	cacheDirKey      struct{}
	cacheMaxAgeKey   struct{}
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

// healthChecks are what HealthCheck was given, with defaults filled in.
type healthChecks struct {
	checks *[]prober.Check
	err    error
}

// HealthCheck has the registry check the nodes that it registers, except those of go-micro's HTTP broker. Without it
// there are no checks. A node that fails a check which has passed before leaves service by itself, and comes back by
// itself; go-micro's server notices nothing. docs/health.md has the rules. Registering never waits for a check.
//
// At most half of a service's nodes are out of service at a time, and never the last one, however many fail at one
// instant: the others are held in service, and [RegistrationStatus] says so. What a check returns as its error can be
// read by everybody who may read the service in etcd.
//
// A later HealthCheck replaces the checks; without any there are none from then on. A check with the name of an earlier
// one keeps its state and counts; one with a new name starts unknown. A check that is bad is an error of New and Init,
// ErrOption.
func HealthCheck(checks ...health.Check) registry.Option {
	h := healthChecks{err: health.Validate(checks...)}
	if len(checks) > 0 && h.err == nil {
		all := make([]prober.Check, len(checks))
		for i, c := range health.WithDefaults(checks...) {
			all[i] = prober.Check(c)
		}
		h.checks = &all
	}
	return with(healthCheckKey{}, h)
}

// CacheDir keeps what the registry follows on disk, so that a process that starts while etcd is away finds the nodes
// that were there before. "", the default, turns that off. Without this option the environment variable
// MICRO_REGISTRY_CACHE_DIR names the directory. It is made if it isn't there. Any number of processes may share one,
// those of different etcd users and prefixes, too, but not those of different etcd clusters: while etcd is away nobody
// can tell one from the other.
//
// The first lookup or watch of a service asks etcd as ever. If etcd hasn't answered after a second, or half of
// registry.Timeout if that is shorter, or can't be connected to at any address, what is on disk stands in until etcd
// answers. Then watchers are told what is gone and what is new. Nothing stands in when etcd refuses the user.
// Linearizable lookups, ListServices, registrations and selectors' [Grace] know only etcd.
//
// Addresses are used again: those of a file may belong to somebody else by now. docs/cache.md says what that means, and
// what to choose in Kubernetes.
//
// A directory that can't be used, or a disk that is full, is no error of any call: a service must start without one,
// too. It is logged, and Status has it. A slow disk makes files older.
func CacheDir(dir string) registry.Option { return with(cacheDirKey{}, absolute(dir)) }

// absolute makes a path independent of later changes of the working directory. "" stays.
func absolute(path string) string {
	if path == "" {
		return ""
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path // the working directory is gone
}

const defaultCacheMaxAge = 24 * time.Hour

// CacheMaxAge is how old what [CacheDir] has may be when it stands in: 24 hours without it. A negative age means any,
// and 0 is an error, ErrOption. What stands in goes on for as long as etcd is away, as every view does.
func CacheMaxAge(age time.Duration) registry.Option { return with(cacheMaxAgeKey{}, age) }

// Linearizable makes this one GetService ask etcd's leader instead of the local view: it costs a round trip, and fails
// while etcd is away. It may stand before or after registry.GetContext. Within an option of your own that calls both it
// must come last: go-micro's options have only a context to leave a mark in, and GetContext replaces that.
func Linearizable() registry.GetOption {
	return func(o *registry.GetOptions) {
		o.Context = gomicro.Keep(o.Context, linearizableKey{}, true)
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
	_, given := gomicro.Kept[bool](ctx, linearizableKey{})
	return given
}

var (
	errNilOption = fmt.Errorf("%w: an option is nil", ErrOption)
	errNilFilter = fmt.Errorf("%w: a filter is nil", ErrOption)
)

// gather adds options to o. With an error, which is that one is nil, it returns what the others come to.
func gather[T any, O ~func(*T)](o T, opts []O) (T, error) {
	all, ok := gomicro.Gather(o, opts)
	if !ok {
		return all, errNilOption
	}
	return all, nil
}

func with(key, value any) registry.Option {
	return func(o *registry.Options) { o.Context = gomicro.Keep(o.Context, key, value) }
}

// option returns what an option stored under its key, and whether it was given.
func option[T any](o registry.Options, key any) (T, bool) { return gomicro.Kept[T](o.Context, key) }
