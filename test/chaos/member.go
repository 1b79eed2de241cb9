package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"github.com/micro-etcd/micro-etcd/test/relay"
)

// member is one etcd process and what stays the same over its restarts.
type member struct {
	name   string
	dir    string
	client string       // host:port it listens at for clients
	peer   string       // host:port it listens at for the other members
	relay  *relay.Relay // what the other members know it by
	args   []string

	mu  sync.Mutex
	cmd *exec.Cmd // nil while it doesn't run
	log tail
}

func (m *member) start() error {
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
		return fmt.Errorf("start %s: %w", m.name, err)
	}
	m.cmd = cmd
	return nil
}

// end sends a signal that ends the process, and waits for that.
func (m *member) end(sig syscall.Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Signal(sig)
	_ = m.cmd.Wait() // a process that was killed says nothing new
	m.cmd = nil
}

// signal sends SIGSTOP or SIGCONT.
func (m *member) signal(sig syscall.Signal) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		return fmt.Errorf("%s doesn't run", m.name)
	}
	return m.cmd.Process.Signal(sig)
}

// restore makes the data directory what a snapshot says. The member doesn't run meanwhile.
func (m *member) restore(ctx context.Context, cluster, snapshot string, args ...string) error {
	binary, err := utlBinary()
	if err != nil {
		return err
	}
	if err := os.RemoveAll(m.dir); err != nil {
		return err
	}
	args = append([]string{
		"snapshot", "restore", snapshot, "--data-dir", m.dir, "--name", m.name,
		"--initial-cluster", cluster, "--initial-advertise-peer-urls", "http://" + m.relay.Address(),
	}, args...)
	if out, err := exec.CommandContext(ctx, binary, args...).CombinedOutput(); err != nil {
		return errors.Join(err, errors.New(string(out)))
	}
	return nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu    sync.Mutex
	bytes []byte
}

const keptBytes = 64 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes = append(t.bytes, b...)
	if n := len(t.bytes) - keptBytes; n > 0 {
		t.bytes = bytes.Clone(t.bytes[n:])
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.bytes)
}
