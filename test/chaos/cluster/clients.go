package cluster

import (
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// clients are those of whoever asks etcd directly: one for each member alone.
type clients struct {
	mu             sync.Mutex
	user, password string
	byMember       map[*Member]*clientv3.Client
}

// of returns the client of a member.
func (c *clients) of(m *Member) (*clientv3.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if client := c.byMember[m]; client != nil {
		return client, nil
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{m.ClientAddr}, Username: c.user, Password: c.password,
		DialTimeout: time.Second, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay:  5 * time.Millisecond,
				Multiplier: 1.2,
				MaxDelay:   20 * time.Millisecond,
			},
			MinConnectTimeout: time.Second,
		})},
	})
	if err != nil {
		return nil, err
	}
	c.byMember[m] = client
	return client, nil
}

// setUser replaces all clients by those of a user of etcd.
func (c *clients) setUser(user, password string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeLocked()
	c.user, c.password = user, password
}

func (c *clients) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeLocked()
}

func (c *clients) closeLocked() {
	for _, client := range c.byMember {
		_ = client.Close() // it reports no more than its own canceled context
	}
	clear(c.byMember)
}
