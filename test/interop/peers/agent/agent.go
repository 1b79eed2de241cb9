// Package agent makes a go-micro registry, of whatever version, a process that a test commands through its standard
// input and output, with one JSON object a line.
package agent

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Command is what the test asks for. Commands are carried out concurrently, so that one that hangs shows as itself.
type Command struct {
	ID      int             `json:"id"`
	Do      string          `json:"do"` // register, deregister, get, list, watch, serve, stop or call
	Name    string          `json:"name,omitempty"`
	Node    string          `json:"node,omitempty"`
	Version string          `json:"version,omitempty"`
	Service json.RawMessage `json:"service,omitempty"`
	TTL     time.Duration   `json:"ttl,omitempty"`
}

// Reply is the answer to a command, or with ID 0 what a watcher has returned.
type Reply struct {
	ID    int             `json:"id"`
	Value json.RawMessage `json:"value,omitempty"`
	Error string          `json:"error,omitempty"`
}

// Peer is a registry under test, and go-micro's RPC on it. Services are go-micro's in JSON, which is the same in all
// its versions.
type Peer interface {
	Register(service json.RawMessage, ttl time.Duration) error
	Deregister(service json.RawMessage) error
	GetService(name string) (any, error)
	ListServices() (any, error)
	// Watch returns the watcher's Next. An empty name means every service.
	Watch(name string) (next func() (any, error), err error)
	// Serve starts a go-micro server. Its node is called <name>-<id>.
	Serve(name, id, version string, ttl time.Duration) error
	// Stop stops that server.
	Stop() error
	// Call finds a server by its name and returns the id of the one that answered.
	Call(name string) (any, error)
}

// ErrNoRPC is for a peer of which only the registry is of interest.
var ErrNoRPC = errors.New("this peer does no RPC")

// Run serves a peer until its standard input ends, which is when the test does.
func Run(p Peer) {
	a := &agent{peer: p, out: json.NewEncoder(os.Stdout)}
	os.Stdout = os.Stderr // what others print must not mix with replies
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var c Command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			a.reply(0, nil, fmt.Errorf("no command: %w", err))
			continue
		}
		go func() {
			value, err := a.do(c)
			a.reply(c.ID, value, err)
		}()
	}
}

type agent struct {
	peer Peer

	mu  sync.Mutex
	out *json.Encoder
}

func (a *agent) do(c Command) (any, error) {
	switch c.Do {
	case "register":
		return nil, a.peer.Register(c.Service, c.TTL)
	case "deregister":
		return nil, a.peer.Deregister(c.Service)
	case "get":
		return a.peer.GetService(c.Name)
	case "list":
		return a.peer.ListServices()
	case "watch":
		return nil, a.watch(c.Name)
	case "serve":
		return nil, a.peer.Serve(c.Name, c.Node, c.Version, c.TTL)
	case "stop":
		return nil, a.peer.Stop()
	case "call":
		return a.peer.Call(c.Name)
	}
	return nil, fmt.Errorf("unknown command %q", c.Do)
}

// watch passes on what the watcher returns, up to and including its first error.
func (a *agent) watch(name string) error {
	next, err := a.peer.Watch(name)
	if err != nil {
		return err
	}
	go func() {
		for {
			result, err := next()
			a.reply(0, result, err)
			if err != nil {
				return
			}
		}
	}()
	return nil
}

func (a *agent) reply(id int, value any, err error) {
	r := Reply{ID: id}
	if err != nil {
		r.Error = err.Error()
	} else if value != nil {
		r.Value, err = json.Marshal(value)
		if err != nil {
			r.Error = err.Error()
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = a.out.Encode(r) // if nobody listens any more, standard input has ended too
}
