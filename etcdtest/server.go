package etcdtest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"
)

const (
	startAttempts = 20
	readyTimeout  = 60 * time.Second
)

// Option changes a member's configuration before each of its starts, for example to set a quota. Names, directories,
// addresses and the logger are etcdtest's.
type Option func(*embed.Config)

// Server is one etcd member. Its methods may be called from several goroutines.
type Server struct {
	member member
	opts   []Option
	log    *logTail

	lifecycle sync.Mutex // held through a whole Stop or Restart

	mu   sync.Mutex
	etcd *embed.Etcd    // nil while stopped
	rpc  []*grpc.Server // what etcd serves its clients with
}

// Run starts a server that keeps its data in dir. The caller stops it.
func Run(dir string, opts ...Option) (*Server, error) {
	members, err := runMembers(dir, 1, opts)
	if err != nil {
		return nil, err
	}
	return members[0], nil
}

// Endpoint returns the host and port for clients. It stays the same over Stop and Restart.
func (s *Server) Endpoint() string { return s.member.client }

// Endpoints returns Endpoint as a list, which is what most clients ask for.
func (s *Server) Endpoints() []string { return []string{s.Endpoint()} }

// Log returns the last warnings and errors that the server logged.
func (s *Server) Log() string { return s.log.String() }

// Stop cuts every connection and stops the server; it returns when the port is free. Stopping a stopped server does
// nothing.
func (s *Server) Stop() {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	s.stop()
}

// Restart stops the server if it runs and starts it again on the same data and port. It returns when the server
// answers, which a member of a cluster does only while a majority runs: see [Cluster.Restart].
func (s *Server) Restart() error {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	s.stop()
	if err := s.start(); err != nil {
		return err
	}
	return s.awaitReady()
}

func (s *Server) stop() {
	s.mu.Lock()
	e, rpc := s.etcd, s.rpc
	s.etcd, s.rpc = nil, nil
	s.mu.Unlock()
	if e == nil {
		return
	}
	for _, r := range rpc { // Close alone waits seconds for open watches
		r.Stop()
	}
	e.Server.HardStop() // Close alone waits seconds for peers to take over, and for ever before readiness
	e.Close()
}

// start returns when the ports are bound. A member of a new cluster gets ready only with its peers.
func (s *Server) start() error {
	cfg := s.member.config()
	for _, opt := range s.opts {
		opt(cfg)
	}
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(s.log.logger())
	register := cfg.ServiceRegister
	cfg.ServiceRegister = func(r *grpc.Server) {
		s.mu.Lock()
		s.rpc = append(s.rpc, r)
		s.mu.Unlock()
		if register != nil {
			register(r)
		}
	}
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return fmt.Errorf("etcdtest: start %s at %s: %w", s.member.name, s.member.client, err)
	}
	s.mu.Lock()
	s.etcd = e
	s.mu.Unlock()
	return nil
}

func (s *Server) awaitReady() error {
	e := s.running()
	timeout := time.NewTimer(readyTimeout)
	defer timeout.Stop()
	select {
	case <-e.Server.ReadyNotify():
		return nil
	case err := <-e.Err():
		return fmt.Errorf("etcdtest: %s: %w", s.member.name, err)
	case <-e.Server.StopNotify():
		return fmt.Errorf("etcdtest: %s stopped while starting", s.member.name)
	case <-timeout.C:
		return fmt.Errorf("etcdtest: %s not ready after %v; has it a majority?", s.member.name, readyTimeout)
	}
}

// running returns nil while the server is stopped.
func (s *Server) running() *embed.Etcd {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.etcd
}

// runMembers starts n members of one cluster. Their ports are drawn at random and all drawn again if one is taken,
// because every member has to know every other one's address.
func runMembers(dir string, n int, opts []Option) ([]*Server, error) {
	var err error
	for range startAttempts {
		var servers []*Server
		for _, m := range draw(dir, n) {
			servers = append(servers, &Server{member: m, opts: opts, log: new(logTail)})
		}
		if err = startAll(servers); err == nil {
			return servers, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, err
}

// startAll stops what it started when one of them fails.
func startAll(servers []*Server) error {
	var err error
	for _, s := range servers {
		if err = s.start(); err != nil {
			break
		}
	}
	for _, s := range servers {
		if err == nil {
			err = s.awaitReady()
		}
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, logs(servers))
		stopAll(servers)
	}
	return err
}

func stopAll(servers []*Server) {
	var wg sync.WaitGroup
	for _, s := range servers {
		wg.Go(s.stop)
	}
	wg.Wait()
}

// logs returns what each of some servers logged.
func logs(servers []*Server) string {
	var all strings.Builder
	for _, s := range servers {
		all.WriteString(s.member.name + " at " + s.Endpoint() + "\n" + s.Log())
	}
	return all.String()
}
