package etcd

import (
	"crypto/tls"
	"fmt"
	"os"
	"slices"
	"time"

	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/micro-etcd/micro-etcd/internal/cachefile"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/prober"
)

const defaultTimeout = 5 * time.Second

// config is what the options and the environment come to.
type config struct {
	options  registry.Options // as Options returns them
	keys     catalog.Keyspace
	settings settings
	meters   metric.MeterProvider
	checks   *[]prober.Check // of the own nodes; nil for none
	cacheDir cachefile.Dir   // without a user
}

// brokerName is the service of go-micro's HTTP broker (broker/http.go). Its address takes messages, which is nothing
// that a service's checks know of.
const brokerName = "micro.http.broker"

// checksOf returns the checks of a record's node.
func (c *config) checksOf(r *catalog.Record) *[]prober.Check {
	if r.Name == brokerName {
		return nil
	}
	return c.checks
}

// settings are the part of a config that the connection depends on.
type settings struct {
	etcdconn.Config
	tlsOption *tls.Config // the caller's, before it was cloned
	tlsFiles  etcdconn.TLSFiles
	logConfig *zap.Config
}

// equal reports whether two settings lead to the same connection.
func (s settings) equal(o settings) bool {
	return slices.Equal(s.Endpoints, o.Endpoints) && (s.TLS == nil) == (o.TLS == nil) &&
		s.tlsOption == o.tlsOption && s.tlsFiles == o.tlsFiles && s.Username == o.Username && s.Password == o.Password &&
		s.logConfig == o.logConfig && s.Client == o.Client
}

// environment is the part of the process environment that stands in for missing options.
type environment struct {
	addresses   string
	credentials credentials
	tlsFiles    etcdconn.TLSFiles
	cacheDir    string
}

func readEnvironment() environment {
	env := environment{
		addresses:   os.Getenv("MICRO_REGISTRY_ADDRESS"),
		credentials: credentials{os.Getenv("ETCD_USERNAME"), os.Getenv("ETCD_PASSWORD")},
		tlsFiles: etcdconn.TLSFiles{
			CA: os.Getenv("ETCD_CACERT"), Cert: os.Getenv("ETCD_CERT"), Key: os.Getenv("ETCD_KEY"),
		},
		cacheDir: absolute(os.Getenv("MICRO_REGISTRY_CACHE_DIR")),
	}
	if env.credentials.username == "" || env.credentials.password == "" {
		env.credentials = credentials{} // as the official plugin does it
	}
	return env
}

// newConfig validates options together and completes them from the environment.
func newConfig(o registry.Options, env environment) (*config, error) {
	if o.Timeout < 0 {
		return nil, fmt.Errorf("%w: timeout %s is negative", ErrOption, o.Timeout)
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	o.Logger = logger.LoggerOrDefault(o.Logger)
	prefix, ok := option[string](o, prefixKey{})
	if !ok {
		prefix = DefaultPrefix
	}
	keys, ok := catalog.NewKeyspace(prefix)
	if !ok {
		return nil, fmt.Errorf("%w: prefix %q is empty", ErrOption, prefix)
	}
	s, err := newSettings(o, env)
	if err != nil {
		return nil, err
	}
	meters, ok := option[metric.MeterProvider](o, meterProviderKey{})
	if !ok {
		meters = otel.GetMeterProvider()
	}
	h, _ := option[healthChecks](o, healthCheckKey{})
	if h.err != nil {
		return nil, fmt.Errorf("%w: HealthCheck: %w", ErrOption, h.err)
	}
	dir, err := newCacheDir(o, env, keys)
	if err != nil {
		return nil, err
	}
	return &config{options: o, keys: keys, settings: s, meters: meters, checks: h.checks, cacheDir: dir}, nil
}

// newCacheDir returns where views are saved. That the directory can't be used is no error: a service must start without
// one, too.
func newCacheDir(o registry.Options, env environment, keys catalog.Keyspace) (cachefile.Dir, error) {
	path, ok := option[string](o, cacheDirKey{})
	if !ok {
		path = env.cacheDir
	}
	age, ok := option[time.Duration](o, cacheMaxAgeKey{})
	switch {
	case !ok:
		age = defaultCacheMaxAge
	case age == 0:
		return cachefile.Dir{}, fmt.Errorf("%w: CacheMaxAge is 0: CacheDir(\"\") turns the cache off", ErrOption)
	}
	return cachefile.Dir{Path: path, Prefix: keys.Prefix, MaxAge: age}, nil
}

// apply adds options to those given before. Those of a connection that the caller's client replaces end with it, and
// later addresses replace the client, because that is how go-micro's --registry_address arrives. With an error it
// returns what the others come to.
func apply(before registry.Options, opts []registry.Option) (registry.Options, error) {
	fresh, err := gather(*registry.NewOptions(), opts)
	after, _ := gather(before, opts)
	_, client := option[*clientv3.Client](fresh, clientKey{})
	switch {
	case client:
		after.Addrs, after.Secure, after.TLSConfig = fresh.Addrs, fresh.Secure, fresh.TLSConfig
		for _, key := range []any{authKey{}, logConfigKey{}, tlsFilesKey{}} {
			with(key, fresh.Context.Value(key))(&after)
		}
	case len(fresh.Addrs) > 0:
		with(clientKey{}, nil)(&after)
	}
	after.Addrs = slices.Clone(after.Addrs)
	return after, err
}

// checkClient validates the caller's client and what was given beside it.
func checkClient(client *clientv3.Client, o registry.Options) error {
	if client == nil {
		return fmt.Errorf("%w: Client(nil)", ErrOption)
	}
	if client.ActiveConnection() == nil {
		return fmt.Errorf("%w: Client was given one that clientv3.New didn't make", ErrOption)
	}
	for _, key := range []any{authKey{}, logConfigKey{}, tlsFilesKey{}} {
		if o.Context.Value(key) != nil {
			return fmt.Errorf("%w: Client excludes Auth, LogConfig and TLSFiles", ErrOption)
		}
	}
	if len(o.Addrs) > 0 || o.Secure || o.TLSConfig != nil {
		return fmt.Errorf("%w: Client excludes Addrs, Secure and TLSConfig", ErrOption)
	}
	return nil
}

func newSettings(o registry.Options, env environment) (settings, error) {
	if client, ok := option[*clientv3.Client](o, clientKey{}); ok {
		if err := checkClient(client, o); err != nil {
			return settings{}, err
		}
		c := etcdconn.Config{Client: client, Endpoints: client.Endpoints(), User: client.Username}
		return settings{Config: c}, nil
	}
	c, ok := option[credentials](o, authKey{})
	if !ok {
		c = env.credentials
	}
	s := settings{tlsOption: o.TLSConfig, Config: etcdconn.Config{Username: c.username, Password: c.password}}
	if (c.username == "") != (c.password == "") {
		return s, fmt.Errorf("%w: Auth needs a user name and a password", ErrOption)
	}
	if err := s.setConnection(o, env); err != nil {
		return s, err
	}
	s.User = s.user()
	var err error
	if s.logConfig, _ = option[*zap.Config](o, logConfigKey{}); s.logConfig != nil {
		if s.Log, err = s.logConfig.Build(); err != nil {
			return s, fmt.Errorf("%w: LogConfig: %w", ErrOption, err)
		}
	}
	return s, nil
}

// user returns by whose rights etcd answers, as far as is known.
func (s *settings) user() string {
	switch {
	case s.Username != "" || s.TLS == nil:
		return s.Username
	case s.tlsOption != nil:
		return etcdconn.UserOf(s.TLS)
	}
	return s.tlsFiles.User()
}

// setConnection completes addresses and TLS, which depend on each other. An address with https or unixs turns TLS on;
// one with http or unix turns off what only the environment's certificates ask for.
func (s *settings) setConnection(o registry.Options, env environment) error {
	files, explicit := option[etcdconn.TLSFiles](o, tlsFilesKey{})
	if explicit && o.TLSConfig != nil {
		return fmt.Errorf("%w: TLSFiles and TLSConfig exclude each other", ErrOption)
	}
	if !explicit && o.TLSConfig == nil {
		files = env.tlsFiles
	}
	addresses, err := findAddresses(o, env)
	if err != nil {
		return err
	}
	fallback := "http"
	if files != (etcdconn.TLSFiles{}) {
		fallback = "https"
	}
	var scheme string
	s.Endpoints, scheme, err = endpoints(addresses, o.Secure || o.TLSConfig != nil || explicit, fallback)
	switch {
	case err != nil || scheme == "http":
	case o.TLSConfig != nil:
		s.TLS = o.TLSConfig.Clone()
	default:
		s.tlsFiles = files
		if s.TLS, err = files.Config(hosts(addresses)); err != nil {
			return fmt.Errorf("%w: %w", ErrTLS, err)
		}
	}
	return err
}

// findAddresses returns those of the options, the environment, or the default one.
func findAddresses(o registry.Options, env environment) ([]address, error) {
	switch {
	case len(o.Addrs) > 0:
		return parseAddresses(o.Addrs)
	case env.addresses != "":
		return parseAddresses([]string{env.addresses})
	}
	return parseAddresses([]string{defaultAddress})
}
