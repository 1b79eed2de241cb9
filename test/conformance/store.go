package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/registry/registrytest"
)

// directory is where every etcd registry of Go Micro keeps its records.
const directory = "/micro/registry/"

// Store is one etcd, with relays to its members for each registry that uses it.
type Store struct {
	t       testing.TB
	members []string
	client  *clientv3.Client

	mu   sync.Mutex
	ways map[registry.Registry]ways
	flaw func(ways) // of the network, which every registry meets; nil for none
}

// StartStore starts an etcd of so many members, which ends with the test.
func StartStore(tb testing.TB, members int) *Store {
	tb.Helper()
	for _, name := range []string{"MICRO_REGISTRY_ADDRESS", "ETCD_USERNAME", "ETCD_PASSWORD"} {
		tb.Setenv(name, "") // the official plugin prefers these to its options
	}
	cluster := etcdtest.StartCluster(tb, members)
	s := &Store{t: tb, members: cluster.Endpoints(), client: cluster.Client(tb), ways: map[registry.Registry]ways{}}
	tb.Cleanup(func() {
		for _, way := range s.ways {
			way.end()
		}
	})
	return s
}

// Backend describes a registry on this store to the kit.
func (s *Store) Backend(open func(...registry.Option) (registry.Registry, error)) registrytest.Backend {
	return registrytest.Backend{
		Open: func(opts ...registry.Option) (registry.Registry, error) { return s.open(open, opts) },
		Close: func(r registry.Registry) error {
			c, ok := r.(io.Closer)
			if !ok {
				return nil // and then it needs its way for as long as it likes
			}
			defer s.way(r).end()
			return c.Close()
		},
		Kill: func(r registry.Registry) error {
			s.way(r).end()
			return nil
		},
		Cut: func(r registry.Registry) (func(), error) {
			way := s.way(r)
			way.cut()
			return func() {
				if err := way.restore(); err != nil {
					s.t.Error(err)
				}
			}, nil
		},
		Vanish:  s.vanish,
		Revoke:  s.revoke,
		Corrupt: s.corrupt,
		TTL:     2 * time.Second, // etcd's least, with its own election timeout
	}
}

// open gives a registry ways of its own.
func (s *Store) open(
	open func(...registry.Option) (registry.Registry, error), opts []registry.Option,
) (registry.Registry, error) {
	way, err := connect(s.members)
	if err != nil {
		return nil, err
	}
	if s.flaw != nil {
		s.flaw(way)
	}
	quiet := logger.NewLogger(logger.WithLevel(logger.FatalLevel))
	r, err := open(append([]registry.Option{registry.Addrs(way.addresses()...), registry.Logger(quiet)}, opts...)...)
	if err != nil {
		way.end()
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ways[r] = way
	return r, nil
}

func (s *Store) way(r registry.Registry) ways {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ways[r]
}

func key(service, node string) string {
	return directory + strings.ReplaceAll(service, "/", "-") + "/" + node
}

func (s *Store) bounded() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 10*time.Second)
}

func (s *Store) vanish(service, node string) error {
	ctx, cancel := s.bounded()
	defer cancel()
	gone, err := s.client.Delete(ctx, key(service, node))
	if err != nil {
		return err
	}
	if gone.Deleted != 1 {
		return fmt.Errorf("no key %s", key(service, node))
	}
	return nil
}

func (s *Store) revoke(service, node string) error {
	ctx, cancel := s.bounded()
	defer cancel()
	found, err := s.client.Get(ctx, key(service, node))
	if err != nil {
		return err
	}
	if len(found.Kvs) != 1 || found.Kvs[0].Lease == 0 {
		return fmt.Errorf("no key %s with a lease", key(service, node))
	}
	_, err = s.client.Revoke(ctx, clientv3.LeaseID(found.Kvs[0].Lease))
	return err
}

// drain takes a node out of service as micro-etcd drain does; only our registry knows what that means.
func (s *Store) drain(service, node string) (restore func() error, err error) {
	record := key(service, node)
	notice := catalog.Keyspace{Prefix: directory}.Notice(record)
	err = s.exchange(record, notice, func(value []byte) ([]byte, error) {
		return catalog.EncodeNotice(catalog.Notice{By: "kit@test", Since: time.Now().UTC(), Record: value})
	})
	return func() error {
		err := s.exchange(notice, record, func(value []byte) ([]byte, error) {
			n, err := catalog.DecodeNotice(value)
			if err != nil {
				return nil, err
			}
			return n.Record, nil
		})
		if errors.Is(err, errNoKey) {
			return nil // it was deregistered
		}
		return err
	}, err
}

var errNoKey = errors.New("no such key")

// exchange puts one key in the place of another, on the same lease. Its owner may change it meanwhile.
func (s *Store) exchange(from, to string, change func([]byte) ([]byte, error)) error {
	ctx, cancel := s.bounded()
	defer cancel()
	for {
		found, err := s.client.Get(ctx, from)
		if err != nil {
			return err
		}
		if len(found.Kvs) == 0 {
			return fmt.Errorf("%w %s", errNoKey, from)
		}
		kv := found.Kvs[0]
		value, err := change(kv.Value)
		if err != nil {
			return err
		}
		done, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(from), "=", kv.ModRevision)).Then(
			clientv3.OpPut(to, string(value), clientv3.WithLease(clientv3.LeaseID(kv.Lease))), clientv3.OpDelete(from),
		).Commit()
		if err != nil || done.Succeeded {
			return err
		}
	}
}

// corrupt writes what no registry would.
func (s *Store) corrupt(service string) error {
	ctx, cancel := s.bounded()
	defer cancel()
	for id, value := range map[string]string{
		"junk-empty":     "",
		"junk-text":      "not JSON",
		"junk-cut":       `{"name":"` + service + `","version":"1","nodes":[{"id":"ju`,
		"junk-null":      "null",
		"junk-list":      "[]",
		"junk-type":      `{"name":7}`,
		"junk-nothing":   "{}",
		"junk-no-nodes":  `{"name":"` + service + `","version":"1"}`,
		"junk-nil-node":  `{"name":"` + service + `","version":"1","nodes":[null]}`,
		"junk-elsewhere": `{"name":"` + service + `.other","version":"1","nodes":[{"id":"n1","address":"10.0.0.1:1"}]}`,
	} {
		if _, err := s.client.Put(ctx, key(service, id), value); err != nil {
			return err
		}
	}
	return nil
}
