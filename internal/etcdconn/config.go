package etcdconn

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
)

// Config is what a client is made of.
type Config struct {
	Endpoints          []string    // URLs
	TLS                *tls.Config // nil for a plain connection
	Username, Password string
	User               string           // by whose rights etcd answers: Username, or the name in the client's certificate
	Log                *zap.Logger      // nil for none
	Client             *clientv3.Client // the caller's; the rest counts for nothing then

	// Dial connects to an address, in simulations; nil for the network.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// Connection parameters of the etcd client; the measurements behind them are in docs/design.md.
const (
	dialTimeout = 5 * time.Second
	// With one that dies without a word, and the next one too, these come to 16 s. gRPC raises anything below 10 s to 10 s
	// (dialoptions.go, WithKeepaliveParams).
	dialKeepAliveTime    = 10 * time.Second
	dialKeepAliveTimeout = 3 * time.Second
	// maxUnaryRetries leaves trying again to us. The etcd client counts the first try, and needs another one for a
	// token that has expired (client/v3 retry_interceptor.go).
	maxUnaryRetries = 2
)

// connectParams override gRPC's reconnect backoff, which otherwise grows to two minutes and keeps a client away from an
// etcd that is long back. A connection takes two or three round trips, of up to 3 s.
var connectParams = grpc.ConnectParams{
	Backoff: grpcbackoff.Config{
		BaseDelay:  100 * time.Millisecond,
		Multiplier: 1.6,
		Jitter:     0.2,
		MaxDelay:   500 * time.Millisecond,
	},
	MinConnectTimeout: 10 * time.Second,
}

// Etcd returns the etcd client's config, for simulations too.
func (c Config) Etcd() clientv3.Config {
	return clientv3.Config{
		Endpoints:            c.Endpoints,
		TLS:                  c.TLS,
		Username:             c.Username,
		Password:             c.Password,
		DialTimeout:          dialTimeout,
		DialKeepAliveTime:    dialKeepAliveTime,
		DialKeepAliveTimeout: dialKeepAliveTimeout,
		MaxUnaryRetries:      maxUnaryRetries,
		DialOptions:          []grpc.DialOption{grpc.WithConnectParams(connectParams)},
		Logger:               cmp.Or(c.Log, zap.NewNop()),
	}
}

func (c Config) dial(ctx context.Context, dialer *Dialer) (*clientv3.Client, error) {
	if c.Client != nil {
		return c.Client, nil
	}
	config := c.Etcd()
	config.Context = ctx
	config.DialOptions = append(config.DialOptions, dialer.DialOptions(len(c.Endpoints), c.TLS)...)
	client, err := clientv3.New(config)
	if err != nil {
		return nil, fmt.Errorf("connect to %v: %w", c.Endpoints, err)
	}
	return client, nil
}
