package page

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics serves what Prometheus may want to know of this server.
func (all pages) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	for _, p := range all {
		p.register(registry)
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

func (p *page) register(registry *prometheus.Registry) {
	var labels prometheus.Labels
	if p.Name != "" {
		labels = prometheus.Labels{"dc": p.Name}
	}
	v := p.view
	for _, g := range []struct {
		name, help string
		value      func() float64
	}{
		{"services", "Services that have a node in service.", func() float64 { services, _ := v.count(); return float64(services) }},
		{"nodes", "Nodes in service.", func() float64 { _, nodes := v.count(); return float64(nodes) }},
		{"stale_seconds", "For how long etcd can't be followed; 0 while it is.", v.staleness},
		{"browsers", "Browsers that look at the page.", func() float64 { return float64(p.hub.count()) }},
	} {
		opts := prometheus.GaugeOpts{Name: "micro_etcd_ui_" + g.name, Help: g.help, ConstLabels: labels}
		registry.MustRegister(prometheus.NewGaugeFunc(opts, g.value))
	}
}

func (v *view) staleness() float64 {
	if l := v.connection(); !l.connected {
		return time.Since(l.since).Seconds()
	}
	return 0
}

// healthy is 200 as soon as there is something to show of any data center, current or not. It has a line for each that
// isn't well.
func (all pages) healthy(w http.ResponseWriter, _ *http.Request) {
	status, lines := http.StatusServiceUnavailable, []string(nil)
	for _, p := range all {
		l := p.view.connection()
		if l.read {
			status = http.StatusOK
		}
		switch {
		case l.connected:
		case l.read:
			stale := time.Since(l.since).Round(time.Second)
			lines = append(lines, p.about(fmt.Sprintf("stale: etcd can't be followed for %s now", stale)))
		default:
			lines = append(lines, p.about(unread))
		}
	}
	if lines == nil {
		lines = []string{"ok"}
	}
	w.WriteHeader(status)
	fmt.Fprintln(w, strings.Join(lines, "\n"))
}
