// Package gomicro4 is the agent's side of every registry for go-micro v4.
package gomicro4

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
	"go-micro.dev/v4/server"
	"go-micro.dev/v4/transport"
)

// Peer is a registry, with a server and a client that find each other through it.
type Peer struct {
	registry registry.Registry
	client   client.Client

	mu     sync.Mutex
	server server.Server
}

// New returns the peer of a registry.
func New(r registry.Registry) *Peer {
	return &Peer{registry: r, client: client.NewClient(
		client.Registry(r),
		client.Selector(selector.NewSelector(selector.Registry(r))),
		client.Transport(transport.NewHTTPTransport()),
		client.Broker(broker.NewMemoryBroker()),
		client.ContentType("application/json"),
		client.RequestTimeout(5*time.Second),
	)}
}

// Register implements the agent's Peer.
func (p *Peer) Register(service json.RawMessage, ttl time.Duration) error {
	var s *registry.Service
	if err := json.Unmarshal(service, &s); err != nil {
		return err
	}
	return p.registry.Register(s, registry.RegisterTTL(ttl))
}

// Deregister implements the agent's Peer.
func (p *Peer) Deregister(service json.RawMessage) error {
	var s *registry.Service
	if err := json.Unmarshal(service, &s); err != nil {
		return err
	}
	return p.registry.Deregister(s)
}

// GetService implements the agent's Peer.
func (p *Peer) GetService(name string) (any, error) { return p.registry.GetService(name) }

// ListServices implements the agent's Peer.
func (p *Peer) ListServices() (any, error) { return p.registry.ListServices() }

// Watch implements the agent's Peer.
func (p *Peer) Watch(name string) (func() (any, error), error) {
	var opts []registry.WatchOption
	if name != "" {
		opts = append(opts, registry.WatchService(name))
	}
	w, err := p.registry.Watch(opts...)
	if err != nil {
		return nil, err
	}
	return func() (any, error) { return w.Next() }, nil
}

// Who is the handler that says which server it is.
type Who struct{ id string }

// Request has nothing to ask.
type Request struct{}

// Response is the server's id.
type Response struct {
	ID string `json:"id"`
}

// Are answers a call.
func (w *Who) Are(_ context.Context, _ *Request, response *Response) error {
	response.ID = w.id
	return nil
}

// Serve implements the agent's Peer.
func (p *Peer) Serve(name, id, version string, ttl time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server != nil {
		return errors.New("serving already")
	}
	s := server.NewServer(
		server.Name(name),
		server.Id(id),
		server.Version(version),
		server.Address("127.0.0.1:0"),
		server.Registry(p.registry),
		server.RegisterTTL(ttl),
		server.RegisterInterval(ttl/3),
		server.Transport(transport.NewHTTPTransport()),
		server.Broker(broker.NewMemoryBroker()),
	)
	if err := s.Handle(s.NewHandler(&Who{id: id})); err != nil {
		return err
	}
	if err := s.Start(); err != nil {
		return err
	}
	p.server = s
	return nil
}

// Stop implements the agent's Peer.
func (p *Peer) Stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server == nil {
		return errors.New("not serving")
	}
	err := p.server.Stop()
	p.server = nil
	return err
}

// Call implements the agent's Peer.
func (p *Peer) Call(name string) (any, error) {
	var response Response
	err := p.client.Call(context.Background(), p.client.NewRequest(name, "Who.Are", &Request{}), &response)
	return response.ID, err
}
