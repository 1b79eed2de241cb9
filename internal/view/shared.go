package view

import (
	"sync/atomic"
	"time"

	"github.com/micro-etcd/micro-etcd/internal/cachefile"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/feed"
	"github.com/micro-etcd/micro-etcd/internal/metrics"
	"github.com/micro-etcd/micro-etcd/internal/reflector"
)

// Config is what a cache needs.
type Config struct {
	Connector *etcdconn.Connector
	Keys      catalog.Keyspace
	Timeout   func() time.Duration
	// Changed is called when a view breaks off or follows again, or finds what is no record, and when files can or can't
	// be written any more. It doesn't block.
	Changed  func()
	CacheDir func() cachefile.Dir                   // without a user
	Own      func(yield func(*catalog.Record) bool) // this process's records in etcd
	Warnf    func(format string, args ...any)       // logs what no status tells; doesn't block
}

// shared is what the views of a cache have in common.
type shared struct {
	Config
	metrics   *metrics.Metrics
	Malformed *malformed
	shown     *feed.Shown
	Saver     *cachefile.Saver // of views to files
	epoch     atomic.Int64     // goes on with each new view and each sweep; views note in which one they were used
}

func newShared(c Config) *shared {
	return &shared{
		Config: c, metrics: c.Connector.Metrics, Malformed: &malformed{changed: c.Changed}, shown: feed.NewShown(),
	}
}

// Lister reads a prefix.
func (s *shared) Lister(prefix string, link *atomic.Pointer[etcdconn.Client]) reflector.Lister {
	from := etcd{connector: s.Connector, client: link}
	return reflector.Lister{Etcd: from, Prefix: prefix, Timeout: s.Timeout, Connected: s.Connector.IsConnected}
}
