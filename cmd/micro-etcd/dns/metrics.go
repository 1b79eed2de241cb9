package dns

import (
	"fmt"
	"net/http"
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
	config   *Config
}

// NewMetrics returns those of a server.
func NewMetrics(z *Zone, c *Config) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "micro_etcd_dns_queries_total", Help: "Queries that were answered.",
		}, []string{"type", "rcode", "transport"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "micro_etcd_dns_query_duration_seconds", Help: "From when a query was read until its answer was written.",
			Buckets: prometheus.ExponentialBuckets(10e-6, 4, 8),
		}),
		zone: z, config: c,
	}
	m.registry.MustRegister(m.queries, m.seconds)
	for _, g := range []struct {
		name, help string
		value      func() int
	}{
		{"services", "Services that are registered.", func() int { return z.count().services }},
		{"nodes", "Nodes of which there is something to tell.", func() int { return z.count().nodes }},
		{"skipped_nodes", "Nodes whose address DNS can't tell.", func() int { return z.count().skipped }},
		{
			"stale_seconds", "For how long etcd can't be followed; 0 while it is.",
			func() int { return int(z.staleness() / time.Second) },
		},
	} {
		opts := prometheus.GaugeOpts{Name: "micro_etcd_dns_" + g.name, Help: g.help}
		m.registry.MustRegister(prometheus.NewGaugeFunc(opts, func() float64 { return float64(g.value()) }))
	}
	return m
}

// Answered counts a query. It may be called concurrently.
func (m *Metrics) Answered(q Query, answer *dns.Msg) {
	qtype, transport := "other", "udp"
	if len(q.Msg.Question) == 1 {
		if text, known := dns.TypeToString[q.Msg.Question[0].Qtype]; known {
			qtype = text
		}
	}
	if q.TCP {
		transport = "tcp"
	}
	m.queries.WithLabelValues(qtype, RcodeName(answer.Rcode), transport).Inc()
	m.seconds.Observe(time.Since(q.At).Seconds())
}

// RcodeName returns the name of a code. The library calls 16 BADSIG, which it is in answers with TSIG only.
func RcodeName(code int) string {
	if code == dns.RcodeBadVers {
		return "BADVERS"
	}
	return dns.RcodeToString[code]
}

// Handler serves /metrics for Prometheus, and /healthz, which is 200 as long as queries are answered.
func (m *Metrics) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		now := time.Now()
		_, s := m.zone.lookup("", now)
		lost := fmt.Sprintf("etcd can't be followed for %s now", now.Sub(s.stale).Round(time.Second))
		switch s.freshness(now, m.config.MaxStale) {
		case unknown:
			http.Error(w, "etcd hasn't told yet what is registered", http.StatusServiceUnavailable)
		case expired:
			http.Error(w, lost, http.StatusServiceUnavailable)
		case stale:
			fmt.Fprintln(w, "stale: "+lost)
		case fresh:
			fmt.Fprintln(w, "ok")
		}
	})
	return mux
}

func (z *Zone) staleness() time.Duration {
	if since := z.current().stale; !since.IsZero() {
		return time.Since(since)
	}
	return 0
}

func (z *Zone) count() total {
	z.mu.RLock()
	defer z.mu.RUnlock()
	return z.total
}
