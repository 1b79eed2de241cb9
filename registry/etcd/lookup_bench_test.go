package etcd

import (
	"fmt"
	"testing"
)

// BenchmarkGetService is a lookup of a service that is followed.
func BenchmarkGetService(b *testing.B) {
	for _, n := range []int{1, 10} {
		f := stage(b, "greeter")
		f.put("1", some(n)...)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.registry.GetService("greeter"); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("%d/parallel", n), func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := f.registry.GetService("greeter"); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
