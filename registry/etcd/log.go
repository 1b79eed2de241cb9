package etcd

import "go-micro.dev/v4/logger"

// log writes through the caller's go-micro logger.
type log struct{ logger.Logger }

func (l log) infof(format string, args ...any) {
	l.Logf(logger.InfoLevel, "etcd registry: "+format, args...)
}

func (l log) warnf(format string, args ...any) {
	l.Logf(logger.WarnLevel, "etcd registry: "+format, args...)
}
