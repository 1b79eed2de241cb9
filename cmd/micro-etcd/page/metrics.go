package page

import (
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics serves what Prometheus may want to know of this server.
func metrics(v *view, h *hub) http.Handler {
	registry := prometheus.NewRegistry()
	for _, g := range []struct {
		name, help string
		value      func() float64
	}{
		{"services", "Services that have a node in service.", func() float64 { services, _ := v.count(); return float64(services) }},
		{"nodes", "Nodes in service.", func() float64 { _, nodes := v.count(); return float64(nodes) }},
		{"stale_seconds", "For how long etcd can't be followed; 0 while it is.", v.staleness},
		{"browsers", "Browsers that look at the page.", func() float64 { return float64(h.count()) }},
	} {
		opts := prometheus.GaugeOpts{Name: "micro_etcd_ui_" + g.name, Help: g.help}
		registry.MustRegister(prometheus.NewGaugeFunc(opts, g.value))
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

func (v *view) staleness() float64 {
	if l := v.connection(); !l.connected {
		return time.Since(l.since).Seconds()
	}
	return 0
}

// healthy is 200 as soon as there is something to show, current or not.
func (v *view) healthy(w http.ResponseWriter, _ *http.Request) {
	switch l := v.connection(); {
	case l.connected:
		fmt.Fprintln(w, "ok")
	case l.read:
		fmt.Fprintf(w, "stale: etcd can't be followed for %s now\n", time.Since(l.since).Round(time.Second))
	default:
		http.Error(w, "the records couldn't be read yet", http.StatusServiceUnavailable)
	}
}
