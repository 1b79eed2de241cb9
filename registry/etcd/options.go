package etcd

import (
	"context"

	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

type (
	authKey         struct{}
	logConfigKey    struct{}
	clientKey       struct{}
	prefixKey       struct{}
	tlsFilesKey     struct{}
	linearizableKey struct{}
)

type credentials struct{ username, password string }

// Auth sets the etcd user. Both parts are needed, or neither: Auth("", "") turns
// authentication off, whatever the environment (ETCD_USERNAME, ETCD_PASSWORD) says.
func Auth(username, password string) registry.Option {
	return with(authKey{}, credentials{username, password})
}

// LogConfig lets the etcd client log with its own zap logger. By default the etcd client
// doesn't log: the registry itself reports what matters through registry.Logger.
func LogConfig(config *zap.Config) registry.Option {
	return with(logConfigKey{}, config)
}

// Client makes the registry use an etcd client that the caller owns and closes. It
// excludes registry.Addrs, registry.Secure, registry.TLSConfig, Auth, LogConfig and
// TLSFiles. A later Client replaces all these, and an Init with addresses replaces the
// client. It should set DialKeepAliveTime, or a connection that dies silently goes unnoticed.
func Client(client *clientv3.Client) registry.Option {
	return with(clientKey{}, client)
}

// Prefix sets the directory for all records: one prefix, one tenant. A missing slash at
// its end is added; an empty prefix is an error. The default is [DefaultPrefix], which the
// other go-micro etcd registries use. It can't be changed once the registry is in use.
// Prefixes of different tenants must not lie within each other.
func Prefix(prefix string) registry.Option {
	return with(prefixKey{}, prefix)
}

// TLSFiles turns TLS on with PEM files: the CA that signed the server's certificate, and
// the client's certificate and key. An empty caFile means the system's roots; certFile and
// keyFile belong together and may both be empty. The client's certificate and key are
// read again at every handshake. The environment's ETCD_CACERT, ETCD_CERT and ETCD_KEY do the same.
func TLSFiles(caFile, certFile, keyFile string) registry.Option {
	return with(tlsFilesKey{}, tlsFiles{caFile, certFile, keyFile})
}

// Linearizable makes this one GetService ask etcd's leader instead of the local view.
func Linearizable() registry.GetOption {
	return func(o *registry.GetOptions) {
		if o.Context == nil {
			o.Context = context.Background()
		}
		o.Context = context.WithValue(o.Context, linearizableKey{}, true)
	}
}

func isLinearizable(ctx context.Context) bool {
	return ctx != nil && ctx.Value(linearizableKey{}) != nil
}

func with(key, value any) registry.Option {
	return func(o *registry.Options) {
		if o.Context == nil {
			o.Context = context.Background()
		}
		o.Context = context.WithValue(o.Context, key, value)
	}
}

// option returns what an option stored under its key, and whether it was given.
func option[T any](o registry.Options, key any) (T, bool) {
	if o.Context == nil {
		var none T
		return none, false
	}
	v, ok := o.Context.Value(key).(T)
	return v, ok
}
