package selector

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4"
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

const (
	greeterVariable = "GREETER_REGISTRY" // etcd's address; makes a process a greeter
	lingerVariable  = "GREETER_LINGER"   // how long it serves after it has deregistered

	ttl = time.Minute // go-micro's own; and the killed ones stay in etcd while a test looks
)

// Request and Response are exported because go-micro's server asks for that.
type (
	Request  struct{ Name string }
	Response struct{ Greeting string }
)

// Greeter is the handler. It takes about as long as asking a database does.
type Greeter struct{}

// Hello greets.
func (*Greeter) Hello(_ context.Context, req *Request, rsp *Response) error {
	time.Sleep(2 * time.Millisecond)
	rsp.Greeting = "Hello " + req.Name
	return nil
}

// serve is a whole service process: it says its node id when it is registered, and ends on SIGTERM.
func serve() error {
	linger, err := time.ParseDuration(os.Getenv(lingerVariable))
	if err != nil {
		return err
	}
	r, err := etcd.New(registry.Addrs(os.Getenv(greeterVariable)))
	if err != nil {
		return err
	}
	var service micro.Service
	service = micro.NewService(
		micro.Name("greeter"),
		micro.Address("127.0.0.1:0"),
		micro.Registry(r),
		micro.Broker(broker.NewMemoryBroker()),
		micro.RegisterTTL(ttl),
		micro.RegisterInterval(ttl/3),
		micro.AfterStart(func() error {
			self := service.Server().Options()
			_, err := os.Stdout.WriteString(self.Name + "-" + self.Id + "\n")
			return err
		}),
		micro.AfterStop(func() error {
			time.Sleep(linger)
			return r.Close()
		}),
	)
	if err := micro.RegisterHandler(service.Server(), &Greeter{}); err != nil {
		return err
	}
	return service.Run()
}

// greeter is a child process that serves.
type greeter struct {
	cmd *exec.Cmd
	id  string
}

// startGreeter returns when the greeter is registered.
func startGreeter(t *testing.T, endpoint string, linger time.Duration) *greeter {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	g := &greeter{cmd: exec.CommandContext(context.Background(), self)}
	g.cmd.Env = append(os.Environ(), greeterVariable+"="+endpoint, lingerVariable+"="+linger.String())
	g.cmd.Stderr = os.Stderr
	out, err := g.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, g.cmd.Start())
	t.Cleanup(func() {
		if g.cmd.ProcessState == nil {
			_ = g.cmd.Process.Kill() // it may have ended by itself
			_ = g.cmd.Wait()
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	g.id = strings.TrimSpace(line)
	return g
}

// end sends the signal and waits for the process.
func (g *greeter) end(t *testing.T, sig syscall.Signal) {
	t.Helper()
	require.NoError(t, g.cmd.Process.Signal(sig))
	err := g.cmd.Wait()
	if sig != syscall.SIGKILL {
		require.NoError(t, err)
	}
}
