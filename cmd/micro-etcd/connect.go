package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/doctor"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// connection is a registry with the settings of the flags and the environment, and where records are
// read from through it.
type connection struct {
	fleet.Source
	registry *etcd.Registry
}

// connect returns a connection for a service's records, or for all of them for "". Its registry logs
// to log. The caller closes it.
func (a *app) connect(ctx context.Context, service string, log io.Writer) (*connection, error) {
	c, err := a.open(ctx, service, log)
	if err != nil {
		return nil, err
	}
	if c.Client, err = c.dial(ctx); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// open returns a connection that has no client yet.
func (a *app) open(ctx context.Context, service string, log io.Writer) (*connection, error) {
	opts, err := a.options(ctx, log)
	if err != nil {
		return nil, err
	}
	f := &a.flags
	opts = append(opts, etcd.Prefix(f.prefix), registry.Timeout(f.timeout))
	if len(f.addresses) > 0 {
		opts = append(opts, registry.Addrs(f.addresses...))
	}
	r, err := etcd.New(opts...)
	if err != nil {
		return nil, err
	}
	return &connection{fleet.Source{Prefix: f.prefix, Service: service, Timeout: f.timeout}, r}, nil
}

// dial returns the client. Where there is no connection, its error says what gRPC's words mean.
func (c *connection) dial(ctx context.Context) (*clientv3.Client, error) {
	client, err := c.registry.Client(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w; `micro-etcd doctor` says more", doctor.Hint(c.registry.Status().Endpoints[0], err))
	}
	return client, err
}

// close is for when nothing is registered any more, or something else has failed already.
func (c *connection) close() { _ = c.registry.Close() }
