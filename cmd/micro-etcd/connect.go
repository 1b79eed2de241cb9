package main

import (
	"context"
	"io"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// open returns a registry with the settings of the flags and the environment. The caller closes it.
// It logs to log.
func (a *app) open(ctx context.Context, log io.Writer) (*etcd.Registry, error) {
	opts, err := a.options(ctx, log)
	if err != nil {
		return nil, err
	}
	if len(a.flags.addresses) > 0 {
		opts = append(opts, registry.Addrs(a.flags.addresses...))
	}
	return etcd.New(opts...)
}

// connect returns where a service's records are read from, or all of them for "". The caller
// calls done.
func (a *app) connect(ctx context.Context, service string) (source fleet.Source, done func(), err error) {
	r, err := a.open(ctx, io.Discard)
	if err != nil {
		return fleet.Source{}, nil, err
	}
	done = func() { _ = r.Close() } // nothing is registered with it
	c, err := r.Client(ctx)
	if err != nil {
		done()
		return fleet.Source{}, nil, err
	}
	return fleet.Source{Client: c, Prefix: a.flags.prefix, Service: service, Timeout: a.flags.timeout}, done, nil
}
