package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"github.com/micro-etcd/micro-etcd/test/chaos/tail"
	"github.com/micro-etcd/micro-etcd/test/relay"
)

// Member is one etcd process and what stays the same over its restarts.
type Member struct {
	Name       string
	ID         uint64 // by which etcd knows it
	ClientAddr string // host:port it listens at for clients

	dir      string
	peerAddr string       // host:port it listens at for the other members
	relay    *relay.Relay // what the other members know it by
	args     []string

	mu  sync.Mutex
	cmd *exec.Cmd // nil while it doesn't run
	log tail.Buffer
}

// Start starts the process unless it runs.
func (m *Member) Start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd != nil {
		return nil
	}
	binary, err := etcdBinary()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(context.Background(), binary, m.args...)
	cmd.Stdout, cmd.Stderr = &m.log, &m.log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", m.Name, err)
	}
	m.cmd = cmd
	return nil
}

// Stop sends a signal that ends the process, and waits for that.
func (m *Member) Stop(sig syscall.Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Signal(sig)
	_ = m.cmd.Wait() // a process that was killed says nothing new
	m.cmd = nil
}

// Signal sends SIGSTOP or SIGCONT.
func (m *Member) Signal(sig syscall.Signal) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		return fmt.Errorf("%s doesn't run", m.Name)
	}
	return m.cmd.Process.Signal(sig)
}

// restore makes the data directory what a snapshot says. The member doesn't run meanwhile.
func (m *Member) restore(ctx context.Context, cluster, snapshot string, args ...string) error {
	binary, err := utlBinary()
	if err != nil {
		return err
	}
	if err := os.RemoveAll(m.dir); err != nil {
		return err
	}
	args = append([]string{
		"snapshot", "restore", snapshot, "--data-dir", m.dir, "--name", m.Name,
		"--initial-cluster", cluster, "--initial-advertise-peer-urls", "http://" + m.relay.Address(),
	}, args...)
	if out, err := exec.CommandContext(ctx, binary, args...).CombinedOutput(); err != nil {
		return errors.Join(err, errors.New(string(out)))
	}
	return nil
}
