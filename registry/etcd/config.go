package etcd

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"time"

	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const defaultTimeout = 5 * time.Second

// config is what the options and the environment come to.
type config struct {
	options  registry.Options // as Options returns them
	keys     keyspace
	settings settings
}

// settings are the part of a config that the connection depends on.
type settings struct {
	endpoints   []string
	tls         *tls.Config // nil for a plain connection
	tlsOption   *tls.Config // the caller's, before it was cloned
	tlsFiles    tlsFiles
	credentials credentials
	logConfig   *zap.Config
	client      *clientv3.Client // the caller's
}

// equal reports whether two settings lead to the same connection.
func (s settings) equal(o settings) bool {
	return slices.Equal(s.endpoints, o.endpoints) && (s.tls == nil) == (o.tls == nil) &&
		s.tlsOption == o.tlsOption && s.tlsFiles == o.tlsFiles && s.credentials == o.credentials &&
		s.logConfig == o.logConfig && s.client == o.client
}

// environment is the part of the process environment that stands in for missing options.
type environment struct {
	addresses   string
	credentials credentials
	tlsFiles    tlsFiles
}

func readEnvironment() environment {
	env := environment{
		addresses:   os.Getenv("MICRO_REGISTRY_ADDRESS"),
		credentials: credentials{os.Getenv("ETCD_USERNAME"), os.Getenv("ETCD_PASSWORD")},
		tlsFiles:    tlsFiles{os.Getenv("ETCD_CACERT"), os.Getenv("ETCD_CERT"), os.Getenv("ETCD_KEY")},
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
	keys, err := newKeyspace(prefix)
	if err != nil {
		return nil, err
	}
	s, err := newSettings(o, env)
	if err != nil {
		return nil, err
	}
	return &config{options: o, keys: keys, settings: s}, nil
}

// apply adds options to those given before. Those of a connection that the caller's client
// replaces end with it, and later addresses replace the client, because that is how
// go-micro's --registry_address arrives.
func apply(before registry.Options, opts []registry.Option) registry.Options {
	fresh, after := *registry.NewOptions(), before
	for _, o := range opts {
		o(&fresh)
		o(&after)
	}
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
	return after
}

// checkClient validates the caller's client and what was given beside it.
func checkClient(client *clientv3.Client, o registry.Options) error {
	if client == nil {
		return fmt.Errorf("%w: Client(nil)", ErrOption)
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
		return settings{client: client, endpoints: client.Endpoints()}, nil
	}
	s := settings{tlsOption: o.TLSConfig, credentials: env.credentials}
	if c, ok := option[credentials](o, authKey{}); ok {
		s.credentials = c
	}
	if (s.credentials.username == "") != (s.credentials.password == "") {
		return s, fmt.Errorf("%w: Auth needs a user name and a password", ErrOption)
	}
	s.logConfig, _ = option[*zap.Config](o, logConfigKey{})
	if err := s.setTLS(o, env); err != nil {
		return s, err
	}
	err := s.setEndpoints(o, env)
	return s, err
}

func (s *settings) setTLS(o registry.Options, env environment) error {
	files, explicit := option[tlsFiles](o, tlsFilesKey{})
	if explicit && o.TLSConfig != nil {
		return fmt.Errorf("%w: TLSFiles and TLSConfig exclude each other", ErrOption)
	}
	if !explicit {
		files = env.tlsFiles
	}
	switch {
	case o.TLSConfig != nil:
		s.tls = o.TLSConfig.Clone()
	case explicit || files != tlsFiles{}:
		config, err := files.config()
		if err != nil {
			return err
		}
		s.tls, s.tlsFiles = config, files
	}
	return nil
}

func verifyingTLS() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }

// setEndpoints completes the addresses. An address with https turns TLS on; one with http
// turns off the TLS that only the environment's certificates ask for.
func (s *settings) setEndpoints(o registry.Options, env environment) error {
	list := o.Addrs
	if len(list) == 0 && env.addresses != "" {
		list = []string{env.addresses}
	}
	if len(list) == 0 {
		list = []string{defaultAddress}
	}
	addresses, err := parseAddresses(list)
	if err != nil {
		return err
	}
	_, files := option[tlsFiles](o, tlsFilesKey{})
	asked := o.Secure || o.TLSConfig != nil || files
	fallback := "http"
	if s.tls != nil {
		fallback = "https"
	}
	eps, scheme, err := endpoints(addresses, asked, fallback)
	if err != nil {
		return err
	}
	s.endpoints = eps
	switch {
	case scheme == "http":
		s.tls, s.tlsFiles = nil, tlsFiles{}
	case s.tls == nil:
		s.tls = verifyingTLS()
	}
	return nil
}

type tlsFiles struct{ ca, cert, key string }

// config reads the files once, so that a bad one is an error now and not at the first handshake.
func (f tlsFiles) config() (*tls.Config, error) {
	if (f.cert == "") != (f.key == "") {
		return nil, fmt.Errorf("%w: certificate %q and key %q belong together", ErrTLS, f.cert, f.key)
	}
	for _, name := range []string{f.ca, f.cert, f.key} {
		if name == "" {
			continue
		}
		if _, err := os.ReadFile(name); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrTLS, err)
		}
	}
	info := transport.TLSInfo{TrustedCAFile: f.ca, CertFile: f.cert, KeyFile: f.key}
	config, err := info.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("%w: CA %q, certificate %q, key %q: %w", ErrTLS, f.ca, f.cert, f.key, err)
	}
	if f.ca != "" && config.RootCAs.Equal(x509.NewCertPool()) {
		return nil, fmt.Errorf("%w: %q holds no certificate", ErrTLS, f.ca)
	}
	return config, nil
}
