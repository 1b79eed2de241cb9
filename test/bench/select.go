package main

import (
	"fmt"

	"go-micro.dev/v4/selector"
	selector5 "go-micro.dev/v5/selector"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/bench/report"
)

// The competitors that pick a node.
const (
	oldOverOurs   = report.OverOurs
	oldOverPlugin = report.Standard
	fiveOverFive  = "go-micro v5's selector over its registry"
)

const copiesAll = "copies all nodes in its cache, then flattens them, at each call"

// selects measures picking a node for a call.
func (r *run) selects() error {
	for _, nodes := range []int{1, 10, 100, 1000} {
		if err := r.selectFrom(nodes); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) selectFrom(nodes int) error {
	name := fmt.Sprintf("select-%d", nodes)
	if err := r.store.seed(r.ctx, name, nodes); err != nil {
		return err
	}
	mine, err := openOurs(r.store.endpoint)
	if err != nil {
		return err
	}
	quick := etcd.NewSelector(selector.Registry(mine))
	slow := selector.NewSelector(selector.Registry(mine))
	old := selector.NewSelector(selector.Registry(openPlugin(r.store.endpoint)))
	v5 := selector5.NewSelector(selector5.Registry(openFive(r.store.endpoint)))
	defer func() {
		closeAll(quick, slow, old, v5, mine)
		_ = r.store.clear(r.ctx)
	}()
	competitors := []competitor{
		{who: ours, op: pick(quick, name)},
		{who: oldOverOurs, op: pick(slow, name), note: copiesAll},
		{who: oldOverPlugin, op: pick(old, name), note: copiesAll},
		{who: fiveOverFive, note: copiesAll, op: func(int) error {
			next, err := v5.Select(name)
			if err != nil {
				return err
			}
			_, err = next()
			return err
		}},
	}
	title := fmt.Sprintf("Select and Next, %d nodes", nodes)
	if err := r.compare(
		benchmark{id: fmt.Sprintf("select-%d", nodes), title: title, competitors: competitors},
	); err != nil {
		return err
	}
	if nodes != 1000 {
		return nil
	}
	return r.selectMore(name, quick, slow)
}

// selectMore measures the same with filters, and by several goroutines.
func (r *run) selectMore(name string, quick, slow selector.Selector) error {
	for _, goroutines := range []int{1, 2, 8} {
		if err := r.compare(benchmark{
			id:    fmt.Sprintf("select-by-%d", goroutines),
			title: fmt.Sprintf("Select and Next, 1000 nodes, by %d goroutines", goroutines),
			competitors: []competitor{
				{who: ours, op: pick(quick, name)},
				{who: oldOverOurs, op: pick(slow, name)},
			},
			parallel: goroutines,
		}); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		name   string
		filter selector.Filter
	}{
		{"version", selector.FilterVersion("latest")},
		{"endpoint", selector.FilterEndpoint("Orders.Cancel")},
		{"label", selector.FilterLabel("protocol", "mucp")},
	} {
		with := selector.WithFilter(f.filter)
		if err := r.compare(benchmark{
			id:    "filter-" + f.name,
			title: "Select and Next, 1000 nodes, filtered by " + f.name,
			competitors: []competitor{
				{who: ours, op: pick(quick, name, with)},
				{who: oldOverOurs, op: pick(slow, name, with)},
			},
		}); err != nil {
			return err
		}
	}
	return nil
}

func pick(s selector.Selector, name string, opts ...selector.SelectOption) func(int) error {
	return func(int) error {
		next, err := s.Select(name, opts...)
		if err != nil {
			return err
		}
		_, err = next()
		return err
	}
}
