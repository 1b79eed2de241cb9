package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	official "github.com/go-micro/plugins/v4/registry/etcd"
	"github.com/zeromicro/go-zero/core/discov"
	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"
	logger5 "go-micro.dev/v5/logger"
	registry5 "go-micro.dev/v5/registry"
	etcd5 "go-micro.dev/v5/registry/etcd"
	"go.uber.org/zap"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/bench/report"
)

// The competitors.
const (
	ours      = report.Ours
	followAll = report.FollowAll
	plugin    = report.Plugin
	five      = "go-micro v5.30.0"
	zero      = "go-zero discov v1.10.3"
	naming    = "etcd naming/endpoints v3.6.16"
	memory    = report.Memory
	bare      = report.Bare
)

// patience is how long a registry may take for one call, which may be a big one.
const patience = time.Minute

// ttl is go-micro's default.
const ttl = 90 * time.Second

func openOurs(endpoint string, opts ...registry.Option) (*etcd.Registry, error) {
	quiet := logger.NewLogger(logger.WithLevel(logger.FatalLevel))
	return etcd.New(
		append(
			[]registry.Option{registry.Addrs(endpoint), registry.Timeout(patience), registry.Logger(quiet)},
			opts...)...)
}

// openPlugin opens the official plugin, which can't be closed.
func openPlugin(endpoint string) registry.Registry {
	quiet := logger.NewLogger(logger.WithLevel(logger.FatalLevel))
	silent := zap.NewProductionConfig()
	silent.OutputPaths, silent.ErrorOutputPaths = nil, nil
	return official.NewRegistry(registry.Addrs(endpoint), registry.Timeout(patience), registry.Logger(quiet),
		official.LogConfig(&silent))
}

// openFive opens the registry of go-micro v5, which can't be closed.
func openFive(endpoint string) registry5.Registry {
	quiet := logger5.NewLogger(logger5.WithLevel(logger5.FatalLevel))
	silent := zap.NewProductionConfig()
	silent.OutputPaths, silent.ErrorOutputPaths = nil, nil
	return etcd5.NewEtcdRegistry(registry5.Addrs(endpoint), registry5.Timeout(patience), registry5.Logger(quiet),
		etcd5.LogConfig(&silent))
}

// service5 is service for go-micro v5, whose types have the same fields.
func service5(name string, nodes ...int) *registry5.Service {
	s := new(registry5.Service)
	if err := json.Unmarshal([]byte(encode(service(name, nodes...))), s); err != nil {
		panic(err) // of our own record
	}
	return s
}

// openMemory opens go-micro's memory registry with some nodes of a service in it.
func openMemory(name string, nodes int) (registry.Registry, error) {
	r := registry.NewMemoryRegistry(registry.Logger(logger.NewLogger(logger.WithLevel(logger.FatalLevel))))
	return r, r.Register(service(name, upTo(0, nodes)...))
}

// subscribe follows a service with go-zero.
func (s *store) subscribe(name string) (*discov.Subscriber, error) {
	return discov.NewSubscriber([]string{s.endpoint}, zeroPrefix+name)
}

// want fails a competitor that doesn't see what the others see: a wrong answer isn't a fast one.
func want(who string, nodes, got int) error {
	if got != nodes {
		return fmt.Errorf("%s sees %d of %d nodes", who, got, nodes)
	}
	return nil
}

func nodesOf(services []*registry.Service) int {
	n := 0
	for _, s := range services {
		n += len(s.Nodes)
	}
	return n
}

func nodesOf5(services []*registry5.Service) int {
	n := 0
	for _, s := range services {
		n += len(s.Nodes)
	}
	return n
}

// closeAll closes what a row has opened; what can't be closed has no Close.
func closeAll(things ...any) {
	for _, t := range things {
		if c, ok := t.(io.Closer); ok {
			_ = c.Close() // nothing was measured by it
		}
	}
}
