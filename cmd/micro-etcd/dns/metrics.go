package dns

import (
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics counts queries, and tells of the zone.
type Metrics struct {
	registry *prometheus.Registry
	queries  *prometheus.CounterVec
	seconds  prometheus.Histogram
	zone     *Zone
	maxStale time.Duration
}

// NewMetrics returns those of a server.
func NewMetrics(z *Zone, c *Zones) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "micro_etcd_dns_queries_total", Help: "Queries that were answered.",
		}, []string{"type", "rcode", "transport"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "micro_etcd_dns_query_duration_seconds", Help: "From when a query was read until its answer was written.",
			Buckets: prometheus.ExponentialBuckets(10e-6, 4, 8),
		}),
		zone: z, maxStale: c.MaxStale,
	}
	m.registry.MustRegister(m.queries, m.seconds)
	for _, g := range []struct {
		name, help string
		value      func(zoneState) float64
	}{
		{"services", "Services that are registered.", func(s zoneState) float64 { return float64(s.services) }},
		{"nodes", "Nodes of which there is something to tell.", func(s zoneState) float64 { return float64(s.nodes) }},
		{"untold_nodes", "Nodes whose address DNS can't tell.", func(s zoneState) float64 { return float64(s.untold) }},
		{
			"stale_seconds", "For how long etcd can't be followed; 0 while it is.",
			func(s zoneState) float64 { return s.staleness(time.Now()).Seconds() },
		},
	} {
		opts := prometheus.GaugeOpts{Name: "micro_etcd_dns_" + g.name, Help: g.help}
		m.registry.MustRegister(prometheus.NewGaugeFunc(opts, func() float64 { return g.value(z.state()) }))
	}
	return m
}

// Answered counts a query. It may be called concurrently.
func (m *Metrics) Answered(_ netip.AddrPort, q Query, answer *dns.Msg) {
	qtype, transport := "other", "udp"
	if len(q.Msg.Question) == 1 {
		if text, known := dns.TypeToString[q.Msg.Question[0].Qtype]; known {
			qtype = text
		}
	}
	if q.TCP {
		transport = "tcp"
	}
	m.queries.WithLabelValues(qtype, dns.RcodeToString[answer.Rcode], transport).Inc()
	m.seconds.Observe(time.Since(q.At).Seconds())
}

// Handler serves /metrics for Prometheus, and /healthz, which is 200 as long as queries are answered.
func (m *Metrics) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		s := m.zone.state()
		stale := s.staleness(time.Now()).Round(time.Second)
		lost := fmt.Sprintf("etcd can't be followed for %s now", stale)
		switch {
		case !s.ready:
			http.Error(w, "etcd hasn't told yet what is registered", http.StatusServiceUnavailable)
		case m.maxStale > 0 && s.staleness(time.Now()) > m.maxStale:
			http.Error(w, lost, http.StatusServiceUnavailable)
		case !s.stale.IsZero():
			fmt.Fprintln(w, "stale: "+lost)
		default:
			fmt.Fprintln(w, "ok")
		}
	})
	return mux
}

// zoneState is what a zone is like at a moment.
type zoneState struct {
	ready                   bool // to answer
	stale                   time.Time
	services, nodes, untold int
}

func (s zoneState) staleness(now time.Time) time.Duration {
	if s.stale.IsZero() {
		return 0
	}
	return now.Sub(s.stale)
}

func (z *Zone) state() zoneState {
	z.mu.RLock()
	defer z.mu.RUnlock()
	s := zoneState{ready: z.listed || z.loaded, stale: z.stale, services: len(z.services)}
	for _, service := range z.services {
		s.nodes += service.told
		s.untold += service.untold
	}
	return s
}
