// A service whose metrics Prometheus can scrape at :9464/metrics.
package main

import (
	"log"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go-micro.dev/v4"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

func main() {
	exporter, err := prometheus.New()
	if err != nil {
		log.Fatal(err)
	}
	provider := metric.NewMeterProvider(metric.WithReader(exporter))
	go func() { log.Fatal(http.ListenAndServe(":9464", promhttp.Handler())) }()

	service := micro.NewService(
		micro.Name("hello"),
		micro.Registry(etcd.NewRegistry(etcd.MeterProvider(provider))),
	)
	service.Init()
	if err := service.Run(); err != nil {
		log.Fatal(err)
	}
}
