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
	zones    []*Zone
	config   *Config
}

// NewMetrics returns those of a server with a zone for each data center, or with one.
func NewMetrics(zones []*Zone, c *Config) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "micro_etcd_dns_queries_total", Help: "Queries that were answered.",
		}, []string{"type", "rcode", "transport"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "micro_etcd_dns_query_duration_seconds", Help: "From when a query was read until its answer was written.",
			Buckets: prometheus.ExponentialBuckets(10e-6, 4, 8),
		}),
		zones: zones, config: c,
	}
	m.registry.MustRegister(m.queries, m.seconds)
	for i, z := range zones {
		var labels prometheus.Labels
		if len(c.Datacenters) > 0 {
			labels = prometheus.Labels{"dc": c.Datacenters[i]}
		}
		m.addGauges(z, labels)
	}
	return m
}

func (m *Metrics) addGauges(z *Zone, labels prometheus.Labels) {
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
		opts := prometheus.GaugeOpts{Name: "micro_etcd_dns_" + g.name, Help: g.help, ConstLabels: labels}
		m.registry.MustRegister(prometheus.NewGaugeFunc(opts, func() float64 { return float64(g.value()) }))
	}
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

// Handler serves /metrics for Prometheus, and /healthz, which is 200 as long as queries are answered, but for those for
// other data centers than the first.
func (m *Metrics) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		text, answered := m.health(0)
		for i := 1; i < len(m.zones); i++ {
			if of, _ := m.health(i); of != "ok" {
				text += "\ndata center " + m.config.Datacenters[i] + ": " + of
			}
		}
		if !answered {
			http.Error(w, text, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, text)
	})
	return mux
}

// health says how a zone is, and whether queries for it are answered.
func (m *Metrics) health(zone int) (text string, answered bool) {
	now := time.Now()
	s := m.zones[zone].current()
	lost := fmt.Sprintf("etcd can't be followed for %s now", now.Sub(s.stale).Round(time.Second))
	switch s.freshness(now, m.config.MaxStale) {
	case unknown:
		return "etcd hasn't told yet what is registered", false
	case expired:
		return lost, false
	case stale:
		return "stale: " + lost, true
	case fresh:
	}
	return "ok", true
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
