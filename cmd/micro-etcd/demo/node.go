package demo

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/server"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

const (
	ttl      = 12 * time.Second
	interval = 4 * time.Second
	patience = 5 * time.Second // with etcd
)

// node is one go-micro server, with a registry and a connection of its own, as in a process of its own.
type node struct {
	server   server.Server
	registry *etcd.Registry
	client   *clientv3.Client
}

// start returns when the node serves and is registered.
func start(endpoint string, r *role) (*node, error) {
	client, err := connect(endpoint)
	if err != nil {
		return nil, fmt.Errorf("connect %s to etcd: %w", r.name, err)
	}
	silent := logger.NewLogger(logger.WithLevel(logger.FatalLevel)) // it has no other way to be silent
	reg, err := etcd.New(etcd.Client(client), registry.Timeout(patience), registry.Logger(silent))
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	metadata := maps.Clone(r.metadata)
	metadata["zone"] = zones[rand.N(len(zones))]
	n := &node{registry: reg, client: client, server: server.NewServer(
		server.Name(r.name), server.Id(uuid.NewString()), server.Version(r.version()), server.Address("127.0.0.1:0"),
		server.Metadata(metadata),
		server.Registry(reg), server.RegisterTTL(ttl), server.RegisterInterval(interval),
		server.Broker(broker.NewMemoryBroker()), // the default one listens on all addresses
		server.WithLogger(silent),
	)}
	if err := n.serve(r); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", r.name, err), n.close())
	}
	return n, nil
}

func (n *node) serve(r *role) error {
	if err := n.server.Handle(n.server.NewHandler(r.handler)); err != nil {
		return err
	}
	return n.server.Start()
}

// stop ends the node as a signal does: it deregisters.
func (n *node) stop() error {
	return errors.Join(n.server.Stop(), n.close())
}

// crash ends the node without a word to etcd, where its record stays until its lease runs out.
func (n *node) crash() {
	_ = n.client.Close() // from here on nothing of it reaches etcd, so what follows reports errors
	_ = n.server.Stop()
	_ = n.registry.Close()
}

func (n *node) close() error { return errors.Join(n.registry.Close(), n.client.Close()) }

func connect(endpoint string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: patience, Logger: zap.NewNop()})
}
