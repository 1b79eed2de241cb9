// Package probe finds out from outside whether a node answers, with the checks of package health.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/status"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/registry/health"
)

// Types are what a probe can ask for.
func Types() []string { return []string{"tcp", "http", "grpc", "micro"} }

// Probe asks one node at a time. It may be used concurrently.
type Probe struct {
	timeout time.Duration
	ask     func(ctx context.Context, n *catalog.Node) error
}

// New returns a probe of a type. The path is for http. The timeout limits each node.
func New(kind, path string, timeout time.Duration) (*Probe, error) {
	if !slices.Contains(Types(), kind) {
		return nil, fmt.Errorf("--type %q is not %s", kind, strings.Join(Types(), ", "))
	}
	if timeout <= 0 {
		return nil, fmt.Errorf("--node-timeout %s is not positive", timeout)
	}
	if _, err := url.Parse("http://host/" + strings.TrimPrefix(path, "/")); err != nil {
		return nil, fmt.Errorf("--path %q: %w", path, errors.Unwrap(err))
	}
	p := &Probe{timeout: timeout}
	switch kind {
	case "tcp":
		p.ask = byAddress(health.TCP())
	case "http":
		p.ask = byAddress(health.HTTP(path))
	case "grpc":
		p.ask = byAddress(health.GRPC(""))
	case "micro":
		p.ask = newMicro()
	}
	return p, nil
}

func byAddress(c health.Check) func(context.Context, *catalog.Node) error {
	return func(ctx context.Context, n *catalog.Node) error { return c.Probe(ctx, n.Address) }
}

// Ask returns nil if the node answers, or else why it doesn't. An error after the end of ctx says nothing about the
// node.
func (p *Probe) Ask(ctx context.Context, n *catalog.Node) error {
	if why := undialable(n.Address); why != "" {
		return errors.New("can't be dialed: the address " + why)
	}
	deadline := time.Now().Add(p.timeout)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	err := p.ask(ctx, n)
	switch {
	case err == nil:
		return nil
	case !time.Now().Before(deadline): // which go-micro's client may notice before ctx ends
		return fmt.Errorf("no answer within %s", p.timeout)
	}
	return errors.New(explain(err))
}

// undialable says why an address can't be dialed, or returns "". Some of these would reach this machine instead of the
// node, such as ":80".
func undialable(address string) string {
	if why := fleet.WhyUncallable(address); why != "" {
		return why
	}
	if scheme, _, found := strings.Cut(address, "://"); found {
		if scheme != "http" && scheme != "https" {
			return "is neither host:port nor an HTTP URL"
		}
		return ""
	}
	if _, _, err := net.SplitHostPort(address); err != nil || strings.Contains(address, "/") {
		return "is neither host:port nor an HTTP URL"
	}
	return ""
}

// explain takes the wrapping off an error that says nothing new, and tells a wrong answer from none.
func explain(err error) string {
	text := err.Error()
	var request *url.Error
	if errors.As(err, &request) {
		text = request.Err.Error()
	} else if s, ok := status.FromError(err); ok {
		text = s.Message()
	}
	text = strings.TrimPrefix(text, "connection error: ") // go-micro's, and gRPC's
	if _, why, found := strings.Cut(text, "Error while dialing: "); found {
		text = strings.TrimSuffix(why, `"`)
	}
	if strings.Contains(text, "readLoopPeekFailLocked") { // net/http's word for a server such as SSH's
		text = otherProgram + "it speaks before it is asked"
	}
	if !strings.HasPrefix(text, otherProgram) && isOther(text) {
		return otherProgram + text
	}
	return text
}

// isOther knows the texts of net/http and of gRPC v1.83 about servers that speak another protocol.
func isOther(text string) bool {
	for _, known := range []string{
		"malformed HTTP ",
		"unexpected HTTP status code received from server",
		"received unexpected content-type",
		"missing HTTP content-type",
		"frame header looked like an HTTP/1.1 header",
		"error reading server preface: http2: frame too large",
	} {
		if strings.Contains(text, known) {
			return true
		}
	}
	return false
}
