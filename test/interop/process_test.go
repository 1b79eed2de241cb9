package interop

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// patience is how long a test waits for what must happen soon.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	go start()
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/micro-etcd/micro-etcd/test/interop.start"),
		// go-micro's packages start these when they are imported, or a moment later.
		goleak.IgnoreAnyFunction("go-micro.dev/v4/config.(*config).run"),
		goleak.IgnoreAnyFunction("go-micro.dev/v4/config.(*config).run.func2"),
		goleak.IgnoreAnyFunction("go-micro.dev/v4/config/loader/memory.(*memory).Watch.func1"),
		goleak.IgnoreCurrent(),
	)
}

// binary is something that the script run has built.
func binary(tb testing.TB, name string) string {
	tb.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", ".bin", "interop", name))
	require.NoError(tb, err)
	require.FileExists(tb, path, "build it with test/interop/run")
	return path
}

// process is one that ends with the test at the latest, and whose last output a failed test shows.
type process struct {
	*exec.Cmd
	log  *tail
	done chan struct{} // closed when it has ended
}

var toStart = make(chan func())

// start starts processes, always on one thread: a child that shall die with its parent dies in fact with the thread
// that started it.
func start() {
	runtime.LockOSThread()
	for f := range toStart {
		f()
	}
}

func run(tb testing.TB, cmd *exec.Cmd) *process {
	tb.Helper()
	p := &process{Cmd: cmd, log: new(tail), done: make(chan struct{})}
	cmd.Stderr = p.log
	if cmd.Stdout == nil {
		cmd.Stdout = p.log
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	toStart <- func() { started <- cmd.Start() }
	require.NoError(tb, <-started)
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how it ended is the test's business
	}()
	tb.Cleanup(func() {
		p.kill()
		if tb.Failed() {
			tb.Logf("%s wrote:\n%s", filepath.Base(cmd.Path), p.log)
		}
	})
	return p
}

func (p *process) kill() {
	_ = p.Process.Kill() // unless it has ended
	<-p.done
}

func (p *process) stop() {
	_ = p.Process.Signal(syscall.SIGTERM) // unless it has ended
	<-p.done
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 4 << 10

func (w *tail) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, b...)
	if len(w.text) > 4*tailSize {
		w.text = append([]byte(nil), w.text[len(w.text)-tailSize:]...)
	}
	return len(b), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.text)
}

var _ io.Writer = (*tail)(nil)

// freePort returns a port that nobody listens at. It is below every system's range for outgoing connections, so that a
// stopped server's port isn't handed to a client that redials it. No port is returned twice: it is used a moment later.
func freePort(tb testing.TB) int {
	tb.Helper()
	for range 100 {
		port := 10_000 + rand.IntN(22_000)
		if _, used := usedPorts.LoadOrStore(port, true); used {
			continue
		}
		if l, err := net.Listen("tcp", loopback(port)); err == nil {
			require.NoError(tb, l.Close())
			return port
		}
	}
	require.FailNow(tb, "no free port")
	return 0
}

var usedPorts sync.Map

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// command runs a program to its end and returns what it wrote to its standard output.
func command(tb testing.TB, env []string, name string, args ...string) (string, error) {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); asExit(err, &exit) {
		return string(out), fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return string(out), err
}
