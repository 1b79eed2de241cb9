package connect

import (
	"context"
	"errors"
	"fmt"
	"io"

	"go-micro.dev/v4/registry"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/doctor"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/iostreams"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// Connection is a registry with the settings of the flags and the environment, and where records are read from through
// it.
type Connection struct {
	fleet.Source
	Registry *etcd.Registry
}

// Connect returns a connection for a service's records, or for all of them for "". Its registry logs to log. Somebody
// may be asked for a password. The caller closes the connection.
func (f *Flags) Connect(ctx context.Context, s iostreams.Streams, service string, log io.Writer) (*Connection, error) {
	c, err := f.Open(ctx, s, service, log)
	if err != nil {
		return nil, err
	}
	if c.Client, err = c.Dial(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Open returns a connection that has no client yet, for a service as Connect does.
func (f *Flags) Open(ctx context.Context, s iostreams.Streams, service string, log io.Writer) (*Connection, error) {
	opts, err := f.Options(ctx, s, log)
	if err != nil {
		return nil, err
	}
	opts = append(opts, etcd.Prefix(f.Prefix), registry.Timeout(f.Timeout))
	if len(f.Addresses) > 0 {
		opts = append(opts, registry.Addrs(f.Addresses...))
	}
	r, err := etcd.New(opts...)
	if err != nil {
		return nil, err
	}
	return &Connection{fleet.Source{Prefix: f.Prefix, Service: service, Timeout: f.Timeout}, r}, nil
}

// Options are the registry's beside addresses, prefix and timeout. The registry logs to log. Somebody may be asked for
// a password.
func (f *Flags) Options(ctx context.Context, s iostreams.Streams, log io.Writer) ([]registry.Option, error) {
	if len(f.datacenters) > 0 {
		return nil, ErrSeveral
	}
	opts := []registry.Option{registry.Logger(NewLogger(log)), etcd.CacheDir("")} // what is shown is what etcd has
	if f.cacert != "" || f.cert != "" || f.key != "" {
		opts = append(opts, etcd.TLSFiles(f.files()))
	}
	if f.secure {
		opts = append(opts, registry.Secure(true))
	}
	auth, err := f.auth(ctx, s)
	if err != nil {
		return nil, err
	}
	return append(opts, auth...), nil
}

// Dial returns the client. Where there is no connection, its error says what gRPC's words mean.
func (c *Connection) Dial(ctx context.Context) (*clientv3.Client, error) {
	client, err := c.Registry.Client(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w; `micro-etcd doctor` says more", doctor.Hint(c.Registry.Status().Endpoints[0], err))
	}
	return client, err
}

// Close is for when nothing is registered any more, or something else has failed already.
func (c *Connection) Close() { _ = c.Registry.Close() }

// Explain adds what to do about an error of etcd's, where that isn't obvious.
func Explain(err error) error {
	switch {
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return fmt.Errorf("%w: the user may not read that; `micro-etcd doctor` says what it may", err)
	case errors.Is(err, rpctypes.ErrUserEmpty):
		return fmt.Errorf("%w: this etcd wants to know who asks; give --user", err)
	}
	return err
}
