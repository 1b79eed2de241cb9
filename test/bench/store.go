package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/micro-etcd/micro-etcd/registry/registrytest"
)

// The directories of the registries for Go Micro, of go-zero and of etcd's own naming.
const (
	microPrefix  = "/micro/registry/"
	zeroPrefix   = "zero/"
	namingPrefix = "naming/"
)

// perTxn is etcd's limit of operations in a transaction.
const perTxn = 128

// callTimeout bounds every request of the benchmark's own.
const callTimeout = time.Minute

// store is the etcd that all competitors use, seen by the bare client.
type store struct {
	*server
	client *clientv3.Client
}

func openStore(kind string) (*store, error) {
	s, err := startServer(kind)
	if err != nil {
		return nil, err
	}
	c, err := newClient(s.endpoint)
	if err != nil {
		_ = s.stop()
		return nil, err
	}
	return &store{server: s, client: c}, nil
}

func newClient(endpoint string) (*clientv3.Client, error) {
	return clientv3.New(
		clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 5 * time.Second, Logger: zap.NewNop()},
	)
}

func (s *store) close() {
	_ = s.client.Close() // says no more than that it ended its own context
	_ = s.stop()
}

// service returns a service with some of its nodes.
func service(name string, nodes ...int) *registry.Service {
	s := registrytest.TypicalService(name)
	for _, i := range nodes {
		s.Nodes = append(s.Nodes, registrytest.TypicalNode(name, i))
	}
	return s
}

// upTo returns the numbers below n, from a first one on.
func upTo(first, n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = first + i
	}
	return list
}

// key is where Go Micro's registries put a node.
func key(name string, node int) string {
	return microPrefix + name + "/" + registrytest.TypicalNode(name, node).Id
}

// value is what they put there. Any change of stamp changes the node.
func value(name string, node, stamp int) string {
	s := service(name, node)
	if stamp > 0 {
		s.Nodes[0].Metadata["server"] = fmt.Sprintf("mucp-%d", stamp)
	}
	return encode(s)
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // of our own records
	}
	return string(b)
}

// endpointValue is the same record as etcd's naming would write it.
func endpointValue(name string, node, stamp int) string {
	n := registrytest.TypicalNode(name, node)
	return encode(map[string]any{"Op": 0, "Addr": n.Address, "Metadata": json.RawMessage(value(name, node, stamp))})
}

// seed puts the first n nodes of a service where Go Micro's registries find them.
func (s *store) seed(ctx context.Context, name string, n int) error {
	return s.put(ctx, n, func(i int) clientv3.Op { return clientv3.OpPut(key(name, i), value(name, i, 0)) })
}

// seedPeers puts them where go-zero and etcd's naming find them.
func (s *store) seedPeers(ctx context.Context, name string, n int) error {
	if err := s.put(ctx, n, func(i int) clientv3.Op {
		return clientv3.OpPut(fmt.Sprintf("%s%s/%d", zeroPrefix, name, i), value(name, i, 0))
	}); err != nil {
		return err
	}
	return s.put(ctx, n, func(i int) clientv3.Op {
		return clientv3.OpPut(fmt.Sprintf("%s%s/%d", namingPrefix, name, i), endpointValue(name, i, 0))
	})
}

// put does n operations in as few transactions as etcd allows.
func (s *store) put(ctx context.Context, n int, op func(int) clientv3.Op) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for from := 0; from < n; from += perTxn {
		ops := make([]clientv3.Op, 0, perTxn)
		for i := from; i < min(n, from+perTxn); i++ {
			ops = append(ops, op(i))
		}
		if _, err := s.client.Txn(ctx).Then(ops...).Commit(); err != nil {
			return fmt.Errorf("put %d keys: %w", n, err)
		}
	}
	return nil
}

// clear removes everything, in pieces that nobody's watch chokes on.
func (s *store) clear(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for {
		found, err := s.client.Get(ctx, "", clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithLimit(1000))
		if err != nil || len(found.Kvs) == 0 {
			return err
		}
		end := clientv3.WithRange(string(found.Kvs[len(found.Kvs)-1].Key) + "\x00")
		if _, err := s.client.Delete(ctx, string(found.Kvs[0].Key), end); err != nil {
			return err
		}
	}
}
