package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/micro-etcd/micro-etcd/test/relay"
)

// cluster is one or three etcd processes. The scenario asks them directly; members reach each other, and services
// reach them, through relays only.
type cluster struct {
	members []*member
	initial string // each member's name and address, as they know each other

	answered atomic.Int64 // the member that answered last

	mu      sync.Mutex
	user    [2]string // and password, of the scenario
	clients map[*member]*clientv3.Client
	peers   map[[2]string]*relay.Link // from a member's id to another one's name
	ids     map[string]uint64         // by name
}

// The election timeouts of etcd processes: a member alone has nobody to lose an election to.
const (
	aloneHeartbeat, aloneElection = "20", "200"
	heartbeat, election           = "100", "1000"
)

func startCluster(ctx context.Context, dir string, size int, flags ...string) (*cluster, error) {
	c := &cluster{clients: map[*member]*clientv3.Client{}, peers: map[[2]string]*relay.Link{}, ids: map[string]uint64{}}
	err := c.draw(dir, size, flags)
	if err == nil {
		err = c.start(ctx)
	}
	if err == nil {
		err = c.identify(ctx)
	}
	if err != nil {
		c.end()
		return nil, err
	}
	return c, nil
}

// draw gives each member its addresses, a relay for the others, and the flags that come from all that.
func (c *cluster) draw(dir string, size int, flags []string) error {
	var names []string
	for i := range size {
		m := &member{name: fmt.Sprintf("m%d", i+1), client: loopback(freePort()), peer: loopback(freePort())}
		m.dir = filepath.Join(dir, m.name)
		var err error
		m.relay, err = relay.Start(loopback(freePort()), m.peer, relay.NewLink(), func(sent []byte) *relay.Link {
			if id := sender(sent); id != "" {
				return c.peer(id, m.name)
			}
			return nil
		})
		if err != nil {
			return err
		}
		c.members = append(c.members, m)
		names = append(names, m.name+"=http://"+m.relay.Address())
	}
	c.initial = strings.Join(names, ",")
	beat, elect := heartbeat, election
	if size == 1 {
		beat, elect = aloneHeartbeat, aloneElection
	}
	for _, m := range c.members {
		m.args = append([]string{
			"--name", m.name, "--data-dir", m.dir, "--initial-cluster", c.initial, "--log-level", "warn", "--unsafe-no-fsync",
			"--listen-client-urls", "http://" + m.client, "--advertise-client-urls", "http://" + m.client,
			"--listen-peer-urls", "http://" + m.peer, "--initial-advertise-peer-urls", "http://" + m.relay.Address(),
			"--heartbeat-interval", beat, "--election-timeout", elect,
		}, flags...)
	}
	return nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

var drawn sync.Map

// freePort returns a port that nobody listens at and that hasn't been returned before. It is below every system's
// range for outgoing connections, so that a member finds its own again after a restart.
func freePort() int {
	for {
		port := 10_000 + rand.IntN(22_000)
		l, err := net.Listen("tcp", loopback(port)) //nolint:noctx // doesn't wait
		if err != nil {
			continue
		}
		_ = l.Close()
		if _, taken := drawn.LoadOrStore(port, true); !taken {
			return port
		}
	}
}

// start starts the members that don't run, and returns when the cluster takes writes.
func (c *cluster) start(ctx context.Context) error {
	for _, m := range c.members {
		if err := m.start(); err != nil {
			return err
		}
	}
	return c.able(ctx)
}

// kill ends all members without warning.
func (c *cluster) kill() {
	for _, m := range c.members {
		m.end(syscall.SIGKILL)
	}
}

// end leaves nothing running.
func (c *cluster) end() {
	c.mu.Lock()
	for _, client := range c.clients {
		_ = client.Close() // it reports no more than its own canceled context
	}
	clear(c.clients)
	c.mu.Unlock()
	for _, m := range c.members {
		_ = m.signal(syscall.SIGCONT) // fails when it doesn't run
		m.end(syscall.SIGKILL)
		m.relay.End()
	}
}

// log returns what the members said last, for humans.
func (c *cluster) log() string {
	var all strings.Builder
	for _, m := range c.members {
		fmt.Fprintf(&all, "--- %s\n%s\n", m.name, m.log.String())
	}
	return all.String()
}

// as makes the scenario a user of etcd.
func (c *cluster) as(user, password string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, client := range c.clients {
		_ = client.Close()
	}
	clear(c.clients)
	c.user = [2]string{user, password}
}

// direct returns a client of one member alone.
func (c *cluster) direct(m *member) (*clientv3.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if client := c.clients[m]; client != nil {
		return client, nil
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{m.client}, Username: c.user[0], Password: c.user[1],
		DialTimeout: time.Second, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 5 * time.Millisecond, Multiplier: 1.2, MaxDelay: 20 * time.Millisecond},
			MinConnectTimeout: time.Second,
		})},
	})
	if err != nil {
		return nil, err
	}
	c.clients[m] = client
	return client, nil
}

// try asks one member after the other, the given time each, until one of them answers. It begins with the one that
// answered last.
func (c *cluster) try(ctx context.Context, each time.Duration, f func(context.Context, *clientv3.Client) error) error {
	var errs []error
	first := int(c.answered.Load())
	for i := range c.members {
		next := (first + i) % len(c.members)
		m := c.members[next]
		client, err := c.direct(m)
		if err == nil {
			limited, cancel := context.WithTimeout(ctx, each)
			err = f(limited, client)
			cancel()
		}
		if err == nil {
			c.answered.Store(int64(next))
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", m.name, err))
	}
	return errors.Join(errs...)
}

// do is try for requests that must succeed.
func (c *cluster) do(ctx context.Context, f func(context.Context, *clientv3.Client) error) error {
	return c.try(ctx, 10*time.Second, f)
}

const ableKey = "/chaos/able"

// able waits until etcd takes a write.
func (c *cluster) able(ctx context.Context) error {
	for {
		err := c.try(ctx, 500*time.Millisecond, func(ctx context.Context, client *clientv3.Client) error {
			_, err := client.Put(ctx, ableKey, "")
			return err
		})
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("etcd doesn't get ready: %w\n%s", err, c.log())
		}
	}
}

// identify learns the members' ids.
func (c *cluster) identify(ctx context.Context) error {
	return c.do(ctx, func(ctx context.Context, client *clientv3.Client) error {
		list, err := client.MemberList(ctx)
		if err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, m := range list.Members {
			c.ids[m.Name] = m.ID
		}
		return nil
	})
}

// leader returns the member that leads.
func (c *cluster) leader(ctx context.Context) (*member, error) {
	for {
		for _, m := range c.members {
			client, err := c.direct(m)
			if err != nil {
				continue
			}
			limited, cancel := context.WithTimeout(ctx, time.Second)
			status, err := client.Status(limited, m.client)
			cancel()
			if err == nil && status.Leader == status.Header.MemberId {
				return m, nil
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// peer returns the link from a member's id to another member.
func (c *cluster) peer(id, to string) *relay.Link {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := [2]string{id, to}
	if c.peers[k] == nil {
		c.peers[k] = relay.NewLink()
	}
	return c.peers[k]
}

// between returns the links between a member and the others, both ways.
func (c *cluster) between(m *member) []*relay.Link {
	c.mu.Lock()
	ids := maps.Clone(c.ids)
	c.mu.Unlock()
	var links []*relay.Link
	for _, o := range c.members {
		if o != m {
			links = append(links, c.peer(strconv.FormatUint(ids[m.name], 16), o.name), c.peer(strconv.FormatUint(ids[o.name], 16), m.name))
		}
	}
	return links
}

// snapshot saves one member's data.
func (c *cluster) snapshot(ctx context.Context, path string) error {
	return c.do(ctx, func(ctx context.Context, client *clientv3.Client) error {
		from, err := client.Snapshot(ctx)
		if err != nil {
			return err
		}
		defer from.Close()
		to, err := os.Create(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(to, from)
		return errors.Join(err, to.Close())
	})
}

// metric returns the sum of a metric over all members that run, of those of its lines that contain every word.
func (c *cluster) metric(ctx context.Context, name string, words ...string) (float64, error) {
	sum := 0.0
	for _, m := range c.members {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.client+"/metrics", http.NoBody)
		if err != nil {
			return 0, err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0, err
		}
		text, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) != 2 || !isMetric(fields[0], name, words) {
				continue
			}
			value, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				return 0, err
			}
			sum += value
		}
	}
	return sum, nil
}

func isMetric(line, name string, words []string) bool {
	is, _, _ := strings.Cut(line, "{")
	return is == name && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) })
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
