// Package cluster runs etcd: one process or three, with relays between them, to be killed, stopped, cut off, wiped and
// restored.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/test/relay"
)

// Cluster is one or three etcd processes. The scenario asks them directly; members reach each other, and services reach
// them, through relays only.
type Cluster struct {
	Members        []*Member
	initialCluster string // each member's name and address, as they know each other

	answered atomic.Int64 // the member that answered last
	clients  clients
	peers    peerLinks
}

// The election timeouts of etcd processes: a member alone has nobody to lose an election to.
const (
	aloneHeartbeat, aloneElection = "20", "200"
	heartbeat, election           = "100", "1000"
)

// Start starts a cluster of some members, each with additional flags, and waits until it takes writes.
func Start(ctx context.Context, dir string, size int, flags ...string) (*Cluster, error) {
	c := &Cluster{}
	c.clients.byMember, c.peers.links = map[*Member]*clientv3.Client{}, map[[2]string]*relay.Link{}
	err := c.configure(dir, size, flags)
	if err == nil {
		err = c.Start(ctx)
	}
	if err == nil {
		err = c.loadIDs(ctx)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// configure gives each member its addresses, a relay for the others, and the flags that come from all that.
func (c *Cluster) configure(dir string, size int, flags []string) error {
	var names []string
	for i := range size {
		m := &Member{Name: fmt.Sprintf("m%d", i+1), ClientAddr: Loopback(FreePort()), peerAddr: Loopback(FreePort())}
		m.dir = filepath.Join(dir, m.Name)
		var err error
		m.relay, err = relay.Start(Loopback(FreePort()), m.peerAddr, relay.NewLink(), func(sent []byte) *relay.Link {
			if id := sender(sent); id != "" {
				return c.peers.link(id, m)
			}
			return nil
		})
		if err != nil {
			return err
		}
		c.Members = append(c.Members, m)
		names = append(names, m.Name+"=http://"+m.relay.Address())
	}
	c.initialCluster = strings.Join(names, ",")
	beat, elect := heartbeat, election
	if size == 1 {
		beat, elect = aloneHeartbeat, aloneElection
	}
	for _, m := range c.Members {
		m.args = append([]string{
			"--name", m.Name, "--data-dir", m.dir, "--initial-cluster", c.initialCluster,
			"--log-level", "warn", "--unsafe-no-fsync",
			"--listen-client-urls", "http://" + m.ClientAddr, "--advertise-client-urls", "http://" + m.ClientAddr,
			"--listen-peer-urls", "http://" + m.peerAddr, "--initial-advertise-peer-urls", "http://" + m.relay.Address(),
			"--heartbeat-interval", beat, "--election-timeout", elect,
		}, flags...)
	}
	return nil
}

// Start starts the members that don't run, and returns when the cluster takes writes.
func (c *Cluster) Start(ctx context.Context) error {
	for _, m := range c.Members {
		if err := m.Start(); err != nil {
			return err
		}
	}
	return c.AwaitReady(ctx)
}

// Kill ends all members without warning.
func (c *Cluster) Kill() {
	for _, m := range c.Members {
		m.Stop(syscall.SIGKILL)
	}
}

// Wipe takes the data away and starts the members again.
func (c *Cluster) Wipe(ctx context.Context) error {
	c.Kill()
	for _, m := range c.Members {
		if err := os.RemoveAll(m.dir); err != nil {
			return err
		}
	}
	return c.Start(ctx)
}

// Replace removes a member, and adds one without data that has its name and addresses. It returns when that serves.
func (c *Cluster) Replace(ctx context.Context, m *Member) error {
	if err := c.reconfigure(ctx, func(ctx context.Context, client *clientv3.Client) error {
		_, err := client.MemberRemove(ctx, m.ID)
		return err
	}); err != nil {
		return fmt.Errorf("remove %s: %w", m.Name, err)
	}
	m.Stop(syscall.SIGKILL)
	if err := os.RemoveAll(m.dir); err != nil {
		return err
	}
	if err := c.reconfigure(ctx, func(ctx context.Context, client *clientv3.Client) error {
		added, err := client.MemberAdd(ctx, []string{"http://" + m.relay.Address()})
		if err == nil {
			m.ID = added.Member.ID
		}
		return err
	}); err != nil {
		return fmt.Errorf("add %s: %w", m.Name, err)
	}
	m.args = append(m.args, "--initial-cluster-state", "existing")
	if err := m.Start(); err != nil {
		return err
	}
	return c.awaitLeader(ctx, m)
}

// reconfigure changes the members, which etcd refuses until they have been connected with each other for five seconds.
func (c *Cluster) reconfigure(ctx context.Context, change func(context.Context, *clientv3.Client) error) error {
	return poll(ctx, func() (done bool, err error) {
		err = c.Do(ctx, change)
		return err == nil || !strings.Contains(err.Error(), rpctypes.ErrUnhealthy.Error()), err
	})
}

// awaitLeader waits until a member has one.
func (c *Cluster) awaitLeader(ctx context.Context, m *Member) error {
	return poll(ctx, func() (done bool, err error) {
		status, err := c.status(ctx, m)
		return err == nil && status.Leader != 0, err
	})
}

// poll asks until it is told that it is done, and returns with what.
func poll(ctx context.Context, ask func() (done bool, err error)) error {
	for {
		done, err := ask()
		if done {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// Restore gives the members the data of a snapshot and starts them again.
func (c *Cluster) Restore(ctx context.Context, snapshot string, args ...string) error {
	c.Kill()
	for _, m := range c.Members {
		if err := m.restore(ctx, c.initialCluster, snapshot, args...); err != nil {
			return err
		}
	}
	return c.Start(ctx)
}

// Close leaves nothing running.
func (c *Cluster) Close() {
	c.clients.close()
	for _, m := range c.Members {
		_ = m.Signal(syscall.SIGCONT) // fails when it doesn't run
		m.Stop(syscall.SIGKILL)
		m.relay.End()
	}
}

// SetUser makes whoever asks directly a user of etcd.
func (c *Cluster) SetUser(user, password string) { c.clients.setUser(user, password) }

// Client returns a client of one member alone.
func (c *Cluster) Client(m *Member) (*clientv3.Client, error) { return c.clients.of(m) }

// PeerLinks returns the links between a member and the others, both ways.
func (c *Cluster) PeerLinks(m *Member) []*relay.Link {
	id := func(m *Member) string { return strconv.FormatUint(m.ID, 16) }
	var links []*relay.Link
	for _, o := range c.Members {
		if o != m {
			links = append(links, c.peers.link(id(m), o), c.peers.link(id(o), m))
		}
	}
	return links
}

// Log returns what the members said last, for humans.
func (c *Cluster) Log() string {
	var all strings.Builder
	for _, m := range c.Members {
		fmt.Fprintf(&all, "--- %s\n%s\n", m.Name, m.log.String())
	}
	return all.String()
}

// Try asks one member after the other, the given time each, until one of them answers. It begins with the one that
// answered last.
func (c *Cluster) Try(ctx context.Context, each time.Duration, f func(context.Context, *clientv3.Client) error) error {
	var errs []error
	first := int(c.answered.Load())
	for i := range c.Members {
		next := (first + i) % len(c.Members)
		m := c.Members[next]
		client, err := c.clients.of(m)
		if err == nil {
			limited, cancel := context.WithTimeout(ctx, each)
			err = f(limited, client)
			cancel()
		}
		if err == nil {
			c.answered.Store(int64(next))
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", m.Name, err))
	}
	return errors.Join(errs...)
}

// Do is try for requests that must succeed.
func (c *Cluster) Do(ctx context.Context, f func(context.Context, *clientv3.Client) error) error {
	return c.Try(ctx, 10*time.Second, f)
}

// ReadyKey is what AwaitReady writes.
const ReadyKey = "/chaos/able"

// AwaitReady waits until etcd takes a write.
func (c *Cluster) AwaitReady(ctx context.Context) error {
	for {
		err := c.Try(ctx, 500*time.Millisecond, func(ctx context.Context, client *clientv3.Client) error {
			_, err := client.Put(ctx, ReadyKey, "")
			return err
		})
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("etcd doesn't get ready: %w\n%s", err, c.Log())
		}
	}
}

// loadIDs learns the members' ids.
func (c *Cluster) loadIDs(ctx context.Context) error {
	return c.Do(ctx, func(ctx context.Context, client *clientv3.Client) error {
		list, err := client.MemberList(ctx)
		if err != nil {
			return err
		}
		for _, m := range c.Members {
			for _, known := range list.Members {
				if known.Name == m.Name {
					m.ID = known.ID
				}
			}
		}
		return nil
	})
}

// status asks one member how it is.
func (c *Cluster) status(ctx context.Context, m *Member) (*clientv3.StatusResponse, error) {
	client, err := c.clients.of(m)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return client.Status(ctx, m.ClientAddr)
}
