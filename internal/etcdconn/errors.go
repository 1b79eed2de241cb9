package etcdconn

import "errors"

var (
	// ErrClosed says that the registry is closed.
	ErrClosed = errors.New("registry is closed")
	// ErrDisconnected says that there is no connection.
	ErrDisconnected = errors.New("not connected to etcd")
	// ErrReplaced says that a call was cut off because another client took over, maybe of another etcd.
	ErrReplaced = errors.New("etcd client was replaced")
)
