package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/spf13/cobra"
	"golang.org/x/net/netutil"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/dns"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
	"github.com/micro-etcd/micro-etcd/internal/cachefile"
)

// dnsServer is the DNS server's command.
type dnsServer struct {
	*app.App
	listen, domains, allow []string
	config                 dns.Config
	cacheDir, http         string
	logQueries             bool

	allowed []netip.Prefix
	mu      sync.Mutex // of what is printed
}

func newDNS(a *app.App) *cobra.Command {
	d := &dnsServer{App: a}
	cmd := &cobra.Command{
		Use:   "dns",
		Short: "Answer DNS queries for what is registered",
		Long: `Answer DNS queries for what is registered, over UDP and TCP, until Ctrl-C:

  SERVICE.service.DOMAIN                    A, AAAA and SRV; dots in a service's name stay as they are
  _SERVICE._tcp.service.DOMAIN              SRV, as RFC 2782 has it
  VERSION._version.SERVICE.service.DOMAIN   one version's nodes
  HEX.addr.DOMAIN                           what SRV records point to: a node's address
  SERVICE.service.DC.dc.DOMAIN              the same, and all else, of one of several --dc; without, of the first one

Nodes out of service are left out. While etcd is away the last answers go on. There is no recursion:
point the resolver that you have here for this domain only. docs/dns.md says how.

There is no authentication: whoever may ask reads the names and addresses of all services that the
etcd user may read. So only this machine is answered, unless --listen and --allow say otherwise.`,
		Example: `  micro-etcd dns
  dig @127.0.0.1 -p 8353 greeter.service.micro.internal SRV
  micro-etcd dns --listen 10.0.0.5:53 --allow 10.0.0.0/8 --domain svc.example.org`,
		Args:    app.NoArgs,
		PreRunE: func(*cobra.Command, []string) error { return d.check() },
		RunE:    func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&d.listen, "listen", []string{"127.0.0.1:8353"}, "addresses to answer at, by UDP and TCP; repeatable")
	f.StringSliceVar(&d.domains, "domain", []string{"micro.internal"}, "domains to answer for; repeatable")
	f.StringSliceVar(&d.allow, "allow", nil, "who is answered, such as 10.0.0.0/8; repeatable (default this machine)")
	f.DurationVar(&d.config.TTL, "ttl", 5*time.Second, "how long resolvers may keep an answer")
	f.DurationVar(&d.config.NegativeTTL, "negative-ttl", 5*time.Second, "how long they may keep that there is nothing")
	f.DurationVar(&d.config.MaxStale, "max-stale", 0, "how long to answer while etcd is away; 0 is for ever")
	f.IntVar(&d.config.MaxAnswers, "max-answers", 0, "records in an answer, chosen at random; 0 is as many as fit")
	f.StringVar(&d.cacheDir, "cache-dir", "", "directory to keep what is registered in, for a start while etcd is away")
	f.StringVar(&d.http, "http", "", "address for /metrics and /healthz")
	f.BoolVar(&d.logQueries, "log-queries", false, "print a line for each query")
	return cmd
}

func (d *dnsServer) check() error {
	const most = 1<<31 - 1 // RFC 2181
	for name, ttl := range map[string]time.Duration{"ttl": d.config.TTL, "negative-ttl": d.config.NegativeTTL} {
		if ttl < 0 || ttl%time.Second != 0 || ttl/time.Second > most {
			return fmt.Errorf("--%s %s is not a whole number of seconds", name, ttl)
		}
	}
	switch {
	case d.config.MaxStale < 0:
		return fmt.Errorf("--max-stale %s is negative", d.config.MaxStale)
	case d.config.MaxAnswers < 0:
		return fmt.Errorf("--max-answers %d is negative", d.config.MaxAnswers)
	case len(d.listen) == 0:
		return errors.New("--listen is empty")
	case len(d.domains) == 0:
		return errors.New("--domain is empty")
	}
	if d.Flags.HasDatacenters() {
		for _, flags := range d.Flags.Each() {
			d.config.Datacenters = append(d.config.Datacenters, flags.Datacenter)
		}
	}
	for _, domain := range d.domains {
		if err := d.config.AddDomain(domain); err != nil {
			return fmt.Errorf("--domain: %w", err)
		}
	}
	for _, text := range d.allow {
		prefix, err := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); addrErr == nil {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil || prefix.Addr().Is4In6() || strings.Contains(text, "%") {
			return fmt.Errorf("--allow %q is neither an address nor a network such as 10.0.0.0/8", text)
		}
		d.allowed = append(d.allowed, prefix)
	}
	if len(d.allow) == 0 {
		d.allowed = loopback
	}
	return nil
}

// printTime is how long the end waits for who reads the log of queries.
const printTime = time.Second

// cacheMaxAge is how old a file may be that stands in for etcd, as the registry has it without etcd.CacheMaxAge.
const cacheMaxAge = 24 * time.Hour

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func (d *dnsServer) run(ctx context.Context) error {
	zones := []*dns.Zone{dns.NewZone()}
	if len(d.config.Datacenters) > 0 {
		zones = dns.NewZones(d.config.Datacenters...)
	}
	var sockets []*dns.Socket
	defer func() {
		for _, s := range sockets {
			_ = s.Close() // those that were served are closed
		}
	}()
	for _, address := range d.listen {
		s, err := dns.Listen(ctx, address)
		if err != nil {
			return fmt.Errorf("--listen %s: %w", address, err)
		}
		sockets = append(sockets, s)
		// Answers are larger than queries: whoever forges a sender could flood him if everybody were answered.
		if len(d.allow) == 0 && !s.Addr().Addr().IsLoopback() {
			return fmt.Errorf("--listen %s can be reached from other machines: say with --allow who is answered", address)
		}
	}
	var listener net.Listener
	if d.http != "" {
		var config net.ListenConfig
		var err error
		if listener, err = config.Listen(ctx, "tcp", d.http); err != nil {
			return fmt.Errorf("--http %s: %w", d.http, err)
		}
		defer func() { _ = listener.Close() }() // it is closed if it was served
	}
	var followers []*dns.Follower
	var connections []*connect.Connection
	defer func() {
		for _, c := range connections {
			c.Close()
		}
	}()
	for i, flags := range d.Flags.Each() {
		c, err := flags.Open(ctx, d.Streams, "", io.Discard)
		if err != nil {
			return err
		}
		connections = append(connections, c)
		followers = append(followers, d.newFollower(flags, c, zones[i]))
	}
	for _, s := range sockets {
		d.sayf("Answering for %s at %s.", strings.Join(d.domains, ", "), s.Addr())
	}
	if listener != nil {
		d.sayf("Metrics at %smetrics.", localURL(d.http, listener.Addr()))
	}
	return d.serve(ctx, zones, followers, sockets, listener)
}

// newFollower returns what keeps the zone of a data center, which has files of its own.
func (d *dnsServer) newFollower(flags *connect.Flags, c *connect.Connection, zone *dns.Zone) *dns.Follower {
	sayf, dir := d.sayf, d.cacheDir
	if dc := flags.Datacenter; dc != "" {
		sayf = func(format string, args ...any) { d.sayf("%s: %s", dc, fmt.Sprintf(format, args...)) }
		if dir != "" {
			dir = filepath.Join(dir, dc)
		}
	}
	return &dns.Follower{
		Zone: zone, Source: c.Source, Connect: c.Dial,
		Followed: func(err error) {
			if err == nil {
				sayf("Following etcd at %s.", c.Dir())
			} else {
				sayf("%v. Trying again.", connect.Explain(err))
			}
		},
		Cache: cachefile.Dir{Path: dir, User: flags.EtcdUser(), Prefix: c.Dir(), MaxAge: cacheMaxAge},
		Warnf: sayf,
	}
}

// serve ends with ctx.
func (d *dnsServer) serve(
	ctx context.Context, zones []*dns.Zone, followers []*dns.Follower, sockets []*dns.Socket, l net.Listener,
) error {
	zone := zones[0]
	metrics := dns.NewMetrics(zones, &d.config)
	queries := &queryLog{lines: make(chan string, 1000)}
	server := &dns.Server{
		Config: &d.config, Zone: zone, Allow: d.allowed, Sockets: sockets,
		Answered: func(q dns.Query, answer *mdns.Msg) {
			metrics.Answered(q, answer)
			if d.logQueries {
				queries.add(line(q, answer))
			}
		},
	}
	ctx, cancel := context.WithCancel(ctx)
	answering, answered := context.WithCancel(context.WithoutCancel(ctx)) // the last queries are printed, too
	printed := make(chan struct{})
	go func() { defer close(printed); queries.run(answering, d.Out) }()
	var running sync.WaitGroup
	defer running.Wait()
	defer func() {
		cancel()
		answered()
		select {
		case <-printed:
		case <-time.After(printTime): // whoever reads has stopped, and a write can't be interrupted
		}
	}()
	for _, f := range followers {
		running.Go(func() { f.Run(ctx) })
	}
	if l != nil {
		running.Go(func() {
			if err := serveHTTP(ctx, l, metrics.Handler()); err != nil {
				d.sayf("--http %s: %v", d.http, err)
			}
		})
	}
	return server.Serve(ctx)
}

// sayf may be called concurrently.
func (d *dnsServer) sayf(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintln(d.Err, output.Sanitize(fmt.Sprintf(format, args...)))
}

// line is what --log-queries prints of a query.
func line(q dns.Query, m *mdns.Msg) string {
	transport := "udp"
	if q.TCP {
		transport = "tcp"
	}
	asked := "-"
	if len(q.Msg.Question) == 1 {
		asked = mdns.Type(q.Msg.Question[0].Qtype).String() + " " + output.Sanitize(q.Msg.Question[0].Name)
	}
	cut := ""
	if m.Truncated {
		cut = ", truncated"
	}
	return fmt.Sprintf("%s %s %s %s: %s, %s%s\n", q.At.UTC().Format(time.RFC3339Nano), q.From, transport, asked,
		dns.RcodeName(m.Rcode), output.Count(len(m.Answer), "record"), cut)
}

// queryLog prints lines. Who reads them may be slow, or stop reading: then lines are left out, and no query waits.
type queryLog struct {
	lines   chan string
	leftOut atomic.Int64
}

func (l *queryLog) add(line string) {
	select {
	case l.lines <- line:
	default:
		l.leftOut.Add(1)
	}
}

// run prints until ctx ends, and then what is left.
func (l *queryLog) run(ctx context.Context, w io.Writer) {
	for {
		select {
		case line := <-l.lines:
			l.print(w, line)
			continue
		default:
		}
		select {
		case line := <-l.lines:
			l.print(w, line)
		case <-ctx.Done():
			return
		}
	}
}

func (l *queryLog) print(w io.Writer, line string) {
	if n := l.leftOut.Swap(0); n > 0 {
		line += output.Count(int(n), "line") + " left out: they are read too slowly\n"
	}
	_, _ = io.WriteString(w, line) // it is nobody's loss but the reader's
}

// serveHTTP ends with ctx, and returns nil then.
func serveHTTP(ctx context.Context, l net.Listener, handler http.Handler) error {
	const most = 100 // connections
	l = netutil.LimitListener(l, most)
	server := &http.Server{
		Handler: handler, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, IdleTimeout: 30 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}
