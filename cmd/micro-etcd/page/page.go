package page

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
)

// Config says what to show and where.
type Config struct {
	// Datacenters are what is shown, at least one. The first is shown to who doesn't ask for another.
	Datacenters []Datacenter
	// Listener is where browsers connect. Serve closes it. Bound to loopback, the page refuses requests for other
	// hosts' names.
	Listener net.Listener
	// Listen is the address as it was asked for, so that its name is answered to as well.
	Listen string
}

// Datacenter is a registry to show.
type Datacenter struct {
	// Name may be empty if there is one data center only.
	Name string
	// Source is the registry in etcd, without a client.
	Source fleet.Source
	// Connect returns the client. The page shows its error, and calls it again until there is none.
	Connect fleet.Connect
	// Lost, if not nil, is told each time that the records can't be followed, or no longer, and why. The page shows it
	// anyway.
	Lost func(error)
}

// page is what the handlers share of one data center.
type page struct {
	Datacenter
	view *view
	hub  *hub
	ttls *ttls
}

// Serve follows the registry and serves the page until ctx ends; it returns nil then, after all it started has ended.
// Other errors are the listener's.
func Serve(ctx context.Context, cfg Config) error {
	assets, err := loadAssets()
	if err != nil {
		return err
	}
	all := newPages(cfg.Datacenters)
	server := newServer(guard(all.routes(assets), Local(cfg.Listener.Addr()), cfg.Listen))
	ctx, cancel := context.WithCancel(ctx)
	server.BaseContext = func(net.Listener) context.Context { return ctx } // streams end with it
	var running sync.WaitGroup
	for _, p := range all {
		p.start(ctx, &running)
	}
	running.Go(func() {
		<-ctx.Done()
		shutdown(server)
	})
	err = server.Serve(cfg.Listener)
	cancel()
	running.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve the page: %w", err)
}

// newServer bounds what a browser may take. A stream sets its own deadline for each message.
func newServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      sendTime,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
	}
}

// start starts what feeds the hub.
func (p *page) start(ctx context.Context, running *sync.WaitGroup) {
	running.Go(func() { every(ctx, deltaTime, func() { _ = p.hub.publish(nil) }) })
	running.Go(func() {
		source := p.Source
		if source.Client = p.await(ctx); source.Client == nil {
			return
		}
		p.ttls.use(source)
		running.Go(func() { p.check(ctx, source) })
		running.Go(func() { p.findOrphans(ctx, source) })
		_ = source.Follow(ctx, func(events []fleet.Event) { // ends only with ctx
			p.view.apply(events...)
			if last := events[len(events)-1]; last.Kind == fleet.Disconnected && p.Lost != nil {
				p.Lost(last.Err)
			}
		})
	})
}

// await returns the client, or nil when ctx ends before there is one.
func (p *page) await(ctx context.Context) *clientv3.Client {
	return fleet.Await(ctx, p.Connect, func(err error) {
		p.view.apply(fleet.Event{Kind: fleet.Disconnected, Err: err})
		h := health{Members: []member{}}
		h.fail(err)
		_ = p.hub.publish(&h)
	})
}

// check asks for etcd's health until ctx ends.
func (p *page) check(ctx context.Context, source fleet.Source) {
	c := &checkup{source: source}
	every(ctx, checkTime, func() {
		h, reached := c.health(ctx)
		if reached {
			p.view.heard()
		}
		_ = p.hub.publish(&h) // what is sent are strings and numbers, which always encode
	})
}

// every calls f at once and then each d until ctx ends.
func every(ctx context.Context, d time.Duration, f func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for ctx.Err() == nil {
		f()
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

const stopTime = 3 * time.Second

func shutdown(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		_ = server.Close()
	}
}

// Local reports whether an address can be reached from this machine only.
func Local(address net.Addr) bool {
	switch a := address.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}
