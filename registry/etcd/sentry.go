package etcd

import (
	"context"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// sentries watch the directories in which this registry holds many keys: one watch for all of
// them. Where it holds few, each key is watched by itself, so that of thousands of providers each
// need not hear of all the others.
type sentries struct {
	connector *connector
	keys      keyspace

	mu     sync.Mutex
	held   map[string]int // number of our keys by directory
	posted map[string]*sentry
}

// crowd is how many keys of ours make a directory one with many.
const crowd = 16

func newSentries(c *connector, keys keyspace) *sentries {
	return &sentries{connector: c, keys: keys, held: make(map[string]int), posted: make(map[string]*sentry)}
}

// sentry is the watch of one directory. What it tells of a key is the latest event: what
// happened before doesn't matter to those who want to know how things are.
type sentry struct {
	sentries    *sentries
	dir         string
	end         context.CancelFunc
	renewStream func(error)
	listeners   map[string]chan clientv3.WatchResponse // by key; under sentries.mu
}

// count notes that a key has become ours (1) or is no longer (-1).
func (ss *sentries) count(key string, by int) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	dir := ss.keys.dirOf(key)
	if ss.held[dir] += by; ss.held[dir] == 0 {
		delete(ss.held, dir)
	}
}

// enlist has a key watched along with others, from before it is written on. It returns nil
// where keys are watched by themselves. The channel is closed when the watch can't go on.
func (ss *sentries) enlist(key string) (events clientv3.WatchChan, leave func(), renewStream func(error)) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	dir := ss.keys.dirOf(key)
	s := ss.posted[dir]
	if s == nil && ss.held[dir] > crowd {
		s = ss.post(dir)
	}
	if s == nil {
		return nil, nil, nil
	}
	listener := make(chan clientv3.WatchResponse, 1)
	s.listeners[key] = listener
	return listener, func() { s.dismiss(key) }, s.renewStream
}

// post sets up a sentry. It needs mu.
func (ss *sentries) post(dir string) *sentry {
	l, _ := ss.connector.peek()
	if l == nil {
		return nil
	}
	reached := l.history.now().revision
	if reached == 0 {
		return nil
	}
	s := &sentry{sentries: ss, dir: dir, listeners: make(map[string]chan clientv3.WatchResponse)}
	ctx, cancel := l.during(ss.connector.ctx)
	ctx, s.renewStream = ss.connector.stream(ctx)
	s.end = cancel
	if !ss.connector.group.run(func() { s.stand(ctx, l, reached+1) }) {
		cancel()
		return nil
	}
	ss.posted[dir] = s
	return s
}

// burstTime is how long the watch of a directory waits for the writes of a burst, which it would
// only slow down: it is told of them afterwards.
const burstTime = 100 * time.Millisecond

// stand passes on what happens until the watch ends.
func (s *sentry) stand(ctx context.Context, l *link, from int64) {
	defer s.withdraw()
	pause(ctx, burstTime, nil)
	for response := range l.Watch(ctx, s.dir, clientv3.WithPrefix(), clientv3.WithRev(from)) {
		if response.Err() != nil {
			return
		}
		s.report(response)
	}
}

// report tells each listener the latest event of its key.
func (s *sentry) report(response clientv3.WatchResponse) {
	s.sentries.mu.Lock()
	defer s.sentries.mu.Unlock()
	for _, e := range response.Events {
		listener := s.listeners[string(e.Kv.Key)]
		if listener == nil {
			continue
		}
		select {
		case <-listener:
		default:
		}
		listener <- clientv3.WatchResponse{Events: []*clientv3.Event{e}}
	}
}

// withdraw lets every listener know that nobody watches any more.
func (s *sentry) withdraw() {
	s.end()
	s.sentries.mu.Lock()
	defer s.sentries.mu.Unlock()
	s.sentries.forget(s)
	for _, listener := range s.listeners {
		close(listener)
	}
	clear(s.listeners)
}

// dismiss takes a listener off; with the last one the watch ends.
func (s *sentry) dismiss(key string) {
	s.sentries.mu.Lock()
	defer s.sentries.mu.Unlock()
	delete(s.listeners, key)
	if len(s.listeners) == 0 {
		s.sentries.forget(s)
		s.end()
	}
}

// forget lets nobody enlist with a sentry any more. It needs mu.
func (ss *sentries) forget(s *sentry) {
	if ss.posted[s.dir] == s {
		delete(ss.posted, s.dir)
	}
}

// recall ends every watch: etcd's history may be another one, in which they are silent.
func (ss *sentries) recall() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, s := range ss.posted {
		s.end()
	}
	clear(ss.posted)
}
