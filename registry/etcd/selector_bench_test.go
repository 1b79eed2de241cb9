package etcd

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/selector"
)

// selectors are ours on a view, and go-micro's on its memory registry, with the same nodes.
func selectors(b *testing.B, n int) map[string]selector.Selector {
	b.Helper()
	f := stage(b, "greeter")
	f.put("1", some(n)...)
	memory := registry.NewMemoryRegistry()
	services, err := f.registry.GetService("greeter")
	require.NoError(b, err)
	require.NoError(b, memory.Register(services[0]))
	standard := selector.NewSelector(selector.Registry(memory))
	b.Cleanup(func() { require.NoError(b, standard.Close()) })
	return map[string]selector.Selector{"etcd": f.selector(), "standard": standard}
}

func BenchmarkSelect(b *testing.B) {
	options := map[string][]selector.SelectOption{
		"random":     nil,
		"roundrobin": {selector.WithStrategy(selector.RoundRobin)},
		"version":    {selector.WithFilter(selector.FilterVersion("1"))},
		"endpoint":   {selector.WithFilter(selector.FilterEndpoint("Greeter.V1"))},
		"label":      {selector.WithFilter(selector.FilterLabel("parity", "even"))},
	}
	for _, n := range []int{1, 10, 100, 1000} {
		all := selectors(b, n)
		for what, opts := range options {
			for name, s := range all {
				b.Run(fmt.Sprintf("%s/%s/%d", what, name, n), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						next, err := s.Select("greeter", opts...)
						if err != nil {
							b.Fatal(err)
						}
						if _, err := next(); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

func BenchmarkSelectInParallel(b *testing.B) {
	for name, s := range selectors(b, 1000) {
		b.Run(name, func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					next, err := s.Select("greeter")
					if err != nil {
						b.Error(err)
						return
					}
					node, _ := next()
					s.Mark("greeter", node, nil)
				}
			})
		})
	}
}

func BenchmarkSelectWithOneAside(b *testing.B) {
	f, nodes := stage(b, "greeter"), some(1000)
	f.put("1", nodes...)
	s := f.selector()
	for b.Loop() {
		if next, err := s.Select("greeter"); err == nil {
			if node, _ := next(); node.Id == nodes[0].Id {
				s.Mark("greeter", node, errRefused)
			}
		}
	}
}

// BenchmarkChange is what a change of one node costs who selects next.
func BenchmarkChange(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f, nodes := stage(b, "greeter"), some(n)
			f.put("1", nodes...)
			s := f.selector()
			for b.Loop() {
				f.put("1", nodes[0])
				pick(b, s, "greeter")
			}
		})
	}
}
