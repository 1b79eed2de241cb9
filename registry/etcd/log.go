package etcd

import (
	"fmt"
	"sync"
	"time"

	"go-micro.dev/v4/logger"
)

// log writes to the caller's go-micro logger, line after line. That may be slow, or hang, or ask the registry for its
// Status, and lines are written while locks are held: so nobody waits for it. Lines that come while too many are waiting
// are lost, and counted.
type log struct {
	logger func() logger.Logger

	mu      sync.Mutex
	waiting []line
	lost    int
	closed  bool
	idle    chan struct{} // closed when there is nothing left to write; nil while there isn't
}

type line struct {
	to    logger.Logger
	level logger.Level
	text  string
}

// maxLines bounds the lines that wait to be written. There are a few for every registration when etcd goes and comes.
const maxLines = 10_000

func (l *log) infof(format string, args ...any) { l.add(logger.InfoLevel, format, args) }

func (l *log) warnf(format string, args ...any) { l.add(logger.WarnLevel, format, args) }

func (l *log) add(level logger.Level, format string, args []any) {
	next := line{l.logger(), level, "etcd registry: " + fmt.Sprintf(format, args...)}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return
	case len(l.waiting) == maxLines:
		l.lost++
		return
	}
	l.waiting = append(l.waiting, next)
	if l.idle == nil {
		l.idle = make(chan struct{})
		go l.write(l.idle)
	}
}

// write writes what waits, until nothing does.
func (l *log) write(idle chan struct{}) {
	defer close(idle)
	for lines := l.take(); len(lines) > 0; lines = l.take() {
		for _, next := range lines {
			next.write()
		}
	}
}

func (l line) write() { l.to.Log(l.level, l.text) }

func (l *log) take() []line {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.waiting
	if l.lost > 0 {
		last := lines[len(lines)-1]
		lines = append(lines, line{last.to, logger.WarnLevel, fmt.Sprintf("etcd registry: %d lines weren't logged, the logger being too slow", l.lost)})
	}
	l.waiting, l.lost = nil, 0
	if len(lines) == 0 {
		l.idle = nil
	}
	return lines
}

// close takes no more lines, and waits until those there are have been written, but not for ever.
func (l *log) close() {
	l.mu.Lock()
	l.closed = true
	idle := l.idle
	l.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
	case <-time.After(closeTime):
	}
}
