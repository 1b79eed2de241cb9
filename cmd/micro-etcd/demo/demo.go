package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// Demo is a running etcd with its fleet.
type Demo struct {
	server *etcdtest.Server
	roles  []*role
	nodes  map[*role][]*node // of one goroutine
	ended  sync.WaitGroup    // crashed nodes, which take a moment
}

// Start starts etcd, which keeps its data in dir, and the fleet. The caller calls Live, which ends both.
func Start(dir string) (*Demo, error) {
	server, err := etcdtest.Run(dir, patient)
	if err != nil {
		return nil, err
	}
	d := &Demo{server: server, roles: cast(), nodes: make(map[*role][]*node)}
	if err := d.populate(); err != nil {
		d.end()
		return nil, err
	}
	return d, nil
}

// patient is for machines that are busy with something else: etcd alone would be quicker, but loses itself as leader
// there.
func patient(cfg *embed.Config) { cfg.TickMs, cfg.ElectionMs = 100, 1000 }

// Client returns a client of the demo's etcd, which the caller closes. It leaves the environment aside, which is about
// another etcd.
func (d *Demo) Client() (*clientv3.Client, error) { return connect(d.server.Endpoint()) }

// Live plays until ctx ends, then stops everything. What goes wrong is told, and the play goes on.
func (d *Demo) Live(ctx context.Context, tell func(error)) {
	defer d.end()
	for pause(ctx, time.Second+rand.N(2*time.Second)) {
		if err := d.act(ctx, d.roles[rand.N(len(d.roles))]); err != nil {
			tell(err)
		}
	}
}

func (d *Demo) act(ctx context.Context, r *role) error {
	if len(d.nodes[r]) < r.few {
		return d.add(r)
	}
	switch what := rand.N(10); {
	case what < 4:
		return d.scale(r)
	case what < 8:
		return d.deploy(ctx, r)
	default:
		return d.crash(ctx, r)
	}
}

// pause reports whether ctx goes on.
func pause(ctx context.Context, t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (d *Demo) populate() error {
	for _, r := range d.roles {
		for range r.few + rand.N(r.many-r.few+1) {
			if err := d.add(r); err != nil {
				return err
			}
		}
	}
	return d.leave()
}

// leave leaves behind what one finds in every old registry: a record that somebody made by hand, without a lease, and
// one that is none.
func (d *Demo) leave() error {
	client, err := d.Client()
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // it reports no more than its own canceled context
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for id, value := range map[string]string{
		"ftp-1":  `{"name":"legacy-ftp","version":"","nodes":[{"id":"ftp-1","address":"10.0.4.17:21","metadata":{"owner":"by hand, ask Bob"}}]}`,
		"backup": `host=10.0.4.18 port=21`,
	} {
		if _, err := client.Put(ctx, etcd.DefaultPrefix+"legacy-ftp/"+id, value); err != nil {
			return fmt.Errorf("put legacy-ftp/%s: %w", id, err)
		}
	}
	return nil
}

func (d *Demo) add(r *role) error {
	n, err := start(d.server.Endpoint(), r)
	if err != nil {
		return err
	}
	d.nodes[r] = append(d.nodes[r], n)
	return nil
}

// remove takes the oldest node away.
func (d *Demo) remove(r *role) *node {
	n := d.nodes[r][0]
	d.nodes[r] = d.nodes[r][1:]
	return n
}

// scale adds a node or stops one.
func (d *Demo) scale(r *role) error {
	n := len(d.nodes[r])
	if n < r.many && (n == r.few || rand.N(2) == 0) {
		return d.add(r)
	}
	if n > r.few {
		return d.remove(r).stop()
	}
	return nil
}

// deploy replaces the nodes one by one with those of the next version.
func (d *Demo) deploy(ctx context.Context, r *role) error {
	r.minor++
	for range len(d.nodes[r]) {
		if err := d.add(r); err != nil {
			return err
		}
		if !pause(ctx, time.Second+rand.N(time.Second)) {
			return nil
		}
		if err := d.remove(r).stop(); err != nil {
			return err
		}
	}
	return nil
}

// crash kills a node and starts another one after a while.
func (d *Demo) crash(ctx context.Context, r *role) error {
	n := d.remove(r)
	d.ended.Go(n.crash)
	if !pause(ctx, 3*time.Second) {
		return nil
	}
	return d.add(r)
}

// end stops the nodes, all at once, and then etcd.
func (d *Demo) end() {
	for _, nodes := range d.nodes {
		for _, n := range nodes {
			d.ended.Go(func() { _ = n.stop() }) // whatever of it etcd didn't take goes with etcd
		}
	}
	d.ended.Wait()
	d.server.Stop()
}
