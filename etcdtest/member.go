package etcdtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.etcd.io/etcd/server/v3/embed"
)

// Below every system's range for outgoing connections: a client that redials a stopped server can't be handed the
// server's own port, so Restart finds it free.
var ports = portRange{from: 10_000, to: 32_000}

type portRange struct{ from, to int }

// member is what stays the same over restarts.
type member struct {
	name    string
	dir     string
	client  string // host:port
	peer    string // host:port
	cluster string // every member's name and peer URL
	alone   bool
}

func draw(dir string, n int) []member {
	members := make([]member, n)
	cluster := make([]string, n)
	drawn := ports.draw(2 * n)
	for i := range members {
		name := fmt.Sprintf("member-%d", i+1)
		members[i] = member{
			name:   name,
			dir:    filepath.Join(dir, fmt.Sprintf("%s-%d", name, drawn[2*i])), // a lost draw must leave no data behind
			client: loopback(drawn[2*i]),
			peer:   loopback(drawn[2*i+1]),
			alone:  n == 1,
		}
		cluster[i] = name + "=http://" + members[i].peer
	}
	for i := range members {
		members[i].cluster = strings.Join(cluster, ",")
	}
	return members
}

// draw returns n different ports, which somebody else may hold.
func (r portRange) draw(n int) []int {
	drawn := make([]int, 0, n)
	for len(drawn) < n {
		if port := r.from + rand.IntN(r.to-r.from); !slices.Contains(drawn, port) {
			drawn = append(drawn, port)
		}
	}
	return drawn
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func (m member) config() *embed.Config {
	cfg := embed.NewConfig()
	cfg.Name = m.name
	cfg.Dir = m.dir
	cfg.ListenClientUrls = plain(m.client)
	cfg.AdvertiseClientUrls = plain(m.client)
	cfg.ListenPeerUrls = plain(m.peer)
	cfg.AdvertisePeerUrls = plain(m.peer)
	cfg.InitialCluster = m.cluster
	cfg.UnsafeNoFsync = true
	cfg.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration // else every request is logged as slow
	// nobody to lose an election to, so it may be quick
	if m.alone {
		cfg.TickMs, cfg.ElectionMs = 20, 200
	}
	return cfg
}

func plain(address string) []url.URL { return []url.URL{{Scheme: "http", Host: address}} }
