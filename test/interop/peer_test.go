package interop

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/test/interop/peers/agent"
)

// The registries that a fleet may be made of. Those of go-micro v4 also do RPC.
var (
	others   = []string{"official", "asim", "v5"}
	othersV4 = []string{"official", "asim"}
)

const ours = "ours"

// peer is a process with one of the registries.
type peer struct {
	*process
	kind string
	in   io.Writer

	mu      sync.Mutex
	next    int
	waiting map[int]chan agent.Reply
	seen    []*registry.Result // by its watchers
	broken  string             // why a watcher ended
}

// startPeer runs a peer that uses an etcd, found through the environment as in real life.
func startPeer(tb testing.TB, kind, address string, env ...string) *peer {
	tb.Helper()
	cmd := exec.CommandContext(context.Background(), binary(tb, kind))
	cmd.Env = append(append(os.Environ(), "MICRO_REGISTRY_ADDRESS="+address), env...)
	in, err := cmd.StdinPipe()
	require.NoError(tb, err)
	out, toOut, err := os.Pipe()
	require.NoError(tb, err)
	cmd.Stdout = toOut
	p := &peer{kind: kind, in: in, waiting: make(map[int]chan agent.Reply)}
	p.process = run(tb, cmd)
	require.NoError(tb, toOut.Close())
	read := make(chan struct{})
	go func() {
		defer close(read)
		p.read(out)
	}()
	tb.Cleanup(func() {
		p.kill()
		<-read
	})
	return p
}

func (p *peer) read(out io.ReadCloser) {
	defer func() { _ = out.Close() }()
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var r agent.Reply
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			r.Error = "no reply: " + err.Error()
		}
		p.mu.Lock()
		if answer := p.waiting[r.ID]; answer != nil {
			delete(p.waiting, r.ID)
			answer <- r
		} else {
			p.watched(r)
		}
		p.mu.Unlock()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, answer := range p.waiting {
		delete(p.waiting, id)
		answer <- agent.Reply{ID: id, Error: "the process has ended"}
	}
}

func (p *peer) watched(r agent.Reply) {
	if r.Error != "" {
		p.broken = r.Error
		return
	}
	var result *registry.Result
	if err := json.Unmarshal(r.Value, &result); err != nil {
		p.broken = err.Error()
		return
	}
	p.seen = append(p.seen, result)
}

// ask has a command carried out.
func (p *peer) ask(c agent.Command, value any) error {
	answer := make(chan agent.Reply, 1)
	p.mu.Lock()
	p.next++
	c.ID = p.next
	p.waiting[c.ID] = answer
	line, err := json.Marshal(c)
	if err == nil {
		_, err = p.in.Write(append(line, '\n'))
	}
	p.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case r := <-answer:
		if r.Error != "" {
			return fmt.Errorf("%s: %s", p.kind, r.Error)
		}
		if value == nil || r.Value == nil {
			return nil
		}
		return json.Unmarshal(r.Value, value)
	case <-time.After(patience):
		return fmt.Errorf("%s: %s: no answer in %s", p.kind, c.Do, patience)
	}
}

func (p *peer) must(tb testing.TB, c agent.Command, value any) {
	tb.Helper()
	require.NoError(tb, p.ask(c, value), "%s %s", p.kind, c.Do)
}

func (p *peer) register(tb testing.TB, s *registry.Service, ttl time.Duration) {
	tb.Helper()
	p.must(tb, agent.Command{Do: "register", Service: encode(tb, s), TTL: ttl}, nil)
}

func (p *peer) deregister(tb testing.TB, s *registry.Service) {
	tb.Helper()
	p.must(tb, agent.Command{Do: "deregister", Service: encode(tb, s)}, nil)
}

// nodes returns the ids of a service's nodes as a lookup finds them, with their version: a@1.
func (p *peer) nodes(tb testing.TB, name string) []string {
	tb.Helper()
	ids, err := p.lookUp(name)
	require.NoError(tb, err)
	return ids
}

func (p *peer) lookUp(name string) ([]string, error) {
	var services []*registry.Service
	err := p.ask(agent.Command{Do: "get", Name: name}, &services)
	if err != nil && err.Error() == p.kind+": "+registry.ErrNotFound.Error() {
		return nil, nil
	}
	return idsOf(services), err
}

func (p *peer) watch(tb testing.TB, name string) {
	tb.Helper()
	p.must(tb, agent.Command{Do: "watch", Name: name}, nil)
}

// told returns what its watchers have returned so far, like create a@1.
func (p *peer) told(tb testing.TB) []string {
	tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Empty(tb, p.broken, "%s's watcher ended", p.kind)
	var all []string
	for _, r := range p.seen {
		for _, id := range idsOf([]*registry.Service{r.Service}) {
			all = append(all, r.Action+" "+id)
		}
	}
	return all
}

func (p *peer) serve(tb testing.TB, name, id, version string, ttl time.Duration) {
	tb.Helper()
	p.must(tb, agent.Command{Do: "serve", Name: name, Node: id, Version: version, TTL: ttl}, nil)
}

// stopServing stops the peer's go-micro server, which deregisters it.
func (p *peer) stopServing(tb testing.TB) {
	tb.Helper()
	p.must(tb, agent.Command{Do: "stop"}, nil)
}

var errNobody = errors.New("nobody answered")

// call does an RPC by name and returns the id of the server that answered.
func (p *peer) call(name string) (string, error) {
	var id string
	if err := p.ask(agent.Command{Do: "call", Name: name}, &id); err != nil {
		return "", err
	}
	if id == "" {
		return "", errNobody
	}
	return id, nil
}

func encode(tb testing.TB, s *registry.Service) json.RawMessage {
	tb.Helper()
	b, err := json.Marshal(s)
	require.NoError(tb, err)
	return b
}

func lookUp(name string) agent.Command { return agent.Command{Do: "get", Name: name} }

func listAll() agent.Command { return agent.Command{Do: "list"} }
