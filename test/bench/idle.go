package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go-micro.dev/v4/registry"
	registry5 "go-micro.dev/v5/registry"

	"github.com/micro-etcd/micro-etcd/test/bench/report"
)

const (
	idleNodes        = 10
	registerInterval = 30 * time.Second // go-micro's RegisterInterval
)

// idleProcess is a process that has registered some nodes and does what go-micro's server does from then on.
type idleProcess struct {
	who, note string
	register  func(endpoint string) (again func() error, end func(), err error)
}

// idle measures what etcd is asked while nothing changes. Each competitor has an etcd of its own, because all wait at
// the same time.
func (r *run) idle() error {
	span := 150 * time.Second
	if r.quick {
		span = time.Second
	}
	row := &report.Row{
		ID:   "steady",
		Unit: "requests",
		Title: fmt.Sprintf(
			"requests and messages a minute, %d nodes and one followed service, TTL %v, nothing changes, over %v",
			idleNodes, ttl, span,
		),
	}
	var all sync.WaitGroup
	processes := idleProcesses()
	figures, errs := make([]*report.Figure, len(processes)), make([]error, len(processes))
	for i, p := range processes {
		all.Go(func() { figures[i], errs[i] = p.measure(r.ctx, span) })
	}
	all.Wait()
	row.Figures = figures
	if err := errors.Join(errs...); err != nil {
		return err
	}
	r.add(row)
	return nil
}

func idleProcesses() []idleProcess {
	return []idleProcess{
		{who: ours, register: idleOurs},
		{who: plugin, note: "follows nothing", register: idlePlugin},
		{who: five, note: "follows nothing", register: idleFive},
		{who: zero, note: "its TTL is 10 s and can't be changed", register: idleZero},
	}
}

func idleOurs(endpoint string) (func() error, func(), error) {
	mine, err := openOurs(endpoint)
	if err != nil {
		return nil, nil, err
	}
	again := func() error {
		return mine.Register(service("steady", upTo(0, idleNodes)...), registry.RegisterTTL(ttl))
	}
	if err := again(); err != nil {
		return nil, nil, err
	}
	return again, func() { closeAll(mine) }, find(ours, mine, "steady", idleNodes)(0)
}

func idlePlugin(endpoint string) (func() error, func(), error) {
	old := openPlugin(endpoint)
	again := func() error {
		return old.Register(service("steady", upTo(0, idleNodes)...), registry.RegisterTTL(ttl))
	}
	return again, func() {}, again()
}

func idleFive(endpoint string) (func() error, func(), error) {
	v5 := openFive(endpoint)
	again := func() error {
		return v5.Register(service5("steady", upTo(0, idleNodes)...), registry5.RegisterTTL(ttl))
	}
	return again, func() {}, again()
}

func idleZero(endpoint string) (func() error, func(), error) {
	p := publishers{store: &store{server: &server{endpoint: endpoint}}}
	for i := range idleNodes {
		if err := p.publish(i); err != nil {
			return nil, nil, err
		}
	}
	sub, err := p.store.subscribe("fresh")
	if err != nil {
		return nil, nil, err
	}
	again := func() error { return nil } // a Publisher is told once
	return again, func() {
		sub.Close()
		_ = p.stop(0, 0)
	}, nil
}

// measure counts what etcd is asked once the first registrations are done.
func (p idleProcess) measure(ctx context.Context, span time.Duration) (*report.Figure, error) {
	s, err := startServer(unflushed)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.stop() }()
	again, end, err := p.register(s.endpoint)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.who, err)
	}
	defer end()
	if err := sleep(ctx, min(5*time.Second, span)); err != nil { // for what a registration does afterwards
		return nil, err
	}
	before, err := s.counts(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	for next := began.Add(registerInterval); time.Since(began) < span; {
		if err := sleep(ctx, min(time.Until(next), span-time.Since(began))); err != nil {
			return nil, err
		}
		if !time.Now().Before(next) {
			next = next.Add(registerInterval)
			if err := again(); err != nil {
				return nil, fmt.Errorf("%s: %w", p.who, err)
			}
		}
	}
	after, err := s.counts(ctx)
	if err != nil {
		return nil, err
	}
	return p.perMinute(after.since(before), time.Since(began)), nil
}

func (p idleProcess) perMinute(asked counts, span time.Duration) *report.Figure {
	f := &report.Figure{Who: p.who, Note: p.note, Allocs: -1, Bytes: -1, Requests: map[string]float64{}}
	total := 0.0
	for what, n := range asked {
		if what == watchers {
			continue
		}
		f.Requests[what] = float64(n) / span.Minutes()
		total += f.Requests[what]
	}
	f.Samples = []float64{total}
	return f
}
