package cluster

import (
	"bytes"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"

	"github.com/micro-etcd/micro-etcd/test/relay"
)

// Loopback returns the address of a local port.
func Loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

var returnedPorts sync.Map

// FreePort returns a port that nobody listens at and that hasn't been returned before. It is below every system's range
// for outgoing connections, so that a member finds its own again after a restart.
func FreePort() int {
	for {
		port := 10_000 + rand.IntN(22_000)
		l, err := net.Listen("tcp", Loopback(port)) //nolint:noctx // doesn't wait
		if err != nil {
			continue
		}
		_ = l.Close()
		if _, taken := returnedPorts.LoadOrStore(port, true); !taken {
			return port
		}
	}
}

// peerLinks are the network between members: a link from each to each.
type peerLinks struct {
	mu    sync.Mutex
	links map[[2]string]*relay.Link // from a member's id to another one's name
}

// link returns the one from a member, given by its id, to another one.
func (p *peerLinks) link(id string, to *Member) *relay.Link {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := [2]string{id, to.Name}
	if p.links[k] == nil {
		p.links[k] = relay.NewLink()
	}
	return p.links[k]
}

var fromHeader = []byte("X-Server-From: ")

// sender returns the id of the etcd member that an HTTP request between members names as its origin.
func sender(sent []byte) string {
	i := bytes.Index(sent, fromHeader)
	if i < 0 {
		return ""
	}
	id := sent[i+len(fromHeader):]
	if end := slices.Index(id, '\r'); end >= 0 {
		return string(id[:end])
	}
	return ""
}
