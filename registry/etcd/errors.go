package etcd

import (
	"errors"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
	"github.com/micro-etcd/micro-etcd/internal/registration"
)

// Errors that calls return, wrapped with the operation and what it was about. Test for them with errors.Is. Beside
// them, lookups return registry.ErrNotFound, and a watcher after Stop registry.ErrWatcherStopped, both as they are,
// because Go Micro's users compare them. After Close, or the end of WatchContext, a watcher wraps it with the reason. A
// call that etcd didn't answer in time wraps context.DeadlineExceeded.
var (
	// ErrClosed is returned by every call after Close.
	ErrClosed = etcdconn.ErrClosed
	// ErrAddress is returned when an etcd address is malformed, or when the addresses don't fit together or with the
	// TLS options.
	ErrAddress = errors.New("invalid address")
	// ErrTLS is returned when a certificate, key or CA file can't be used.
	ErrTLS = errors.New("invalid TLS configuration")
	// ErrOption is returned when an option has an impossible value or contradicts another, or is nil.
	ErrOption = errors.New("invalid option")
	// ErrNilService is returned when a service or one of its nodes is nil.
	ErrNilService = errors.New("service or node is nil")
	// ErrServiceName is returned when a service name is empty, "." or "..", or not UTF-8, and by Register when it has
	// more than 16 KiB.
	ErrServiceName = errors.New("invalid service name")
	// ErrNoNodes is returned when a service to register or deregister has no nodes.
	ErrNoNodes = errors.New("service has no nodes")
	// ErrNodeID is returned when a node id is empty, not UTF-8, begins with ".out-of-service/", where notices are, is
	// used twice in one service, or is used by this registry for another service whose name differs only in "/" and
	// "-", and by Register when it has more than 16 KiB.
	ErrNodeID = registration.ErrNodeID
	// ErrTTL is returned when a TTL is negative or longer than etcd takes (285 years).
	ErrTTL = registration.ErrTTL
	// ErrTooLarge is returned when etcd refuses a record for its size, which is 1.5 MiB unless the server says
	// otherwise (--max-request-bytes).
	ErrTooLarge = registration.ErrTooLarge
	// ErrWithdrawn is returned by a Register that was waiting for etcd when Deregister was called.
	ErrWithdrawn = registration.ErrWithdrawn
	// ErrPending is returned by Register when etcd has not taken the record yet. The registry goes on trying; the
	// wrapped cause says why it had to.
	ErrPending = registration.ErrPending
	// ErrMalformed is returned by Decode when a stored value is no record of the key it was found at. Lookups and
	// watchers skip such a value. Register returns it for what would become one: endpoints whose values are nested in a
	// circle, or deeper than can be read again (4,998 levels), or are more than 1,048,576 in all.
	ErrMalformed = catalog.ErrMalformed
	// ErrOutOfService is returned by Ready for a node whose checks fail, or that somebody has drained.
	ErrOutOfService = errors.New("out of service")
)
