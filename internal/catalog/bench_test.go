package catalog_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// big fills a catalog with the nodes of one service version. paint gives each its profile.
func big(nodes int, paint func() *catalog.Profile) *catalog.Catalog {
	c := catalog.New()
	for i := range nodes {
		c.Put(bigRecord(i, int64(i), paint()))
	}
	return c
}

func bigRecord(i int, revision int64, p *catalog.Profile) *catalog.Record {
	id := "node-" + strconv.Itoa(i)
	return &catalog.Record{
		Key: id, Revision: revision, Name: "s", Version: "1", Profile: p,
		Node: &catalog.Node{Id: id, Address: "10.0.0.1:" + strconv.Itoa(i), Metadata: map[string]string{
			"broker": "http", "protocol": "grpc", "registry": "etcd", "server": "grpc", "transport": "grpc",
		}},
	}
}

func shared() func() *catalog.Profile {
	p := profile("red")
	return func() *catalog.Profile { return p }
}

func own() *catalog.Profile { return profile("red") }

// A put of one node must cost the same in a big service as in a small one.
func BenchmarkPut(b *testing.B) {
	for _, paint := range []struct {
		name string
		next func() *catalog.Profile
	}{{"shared profile", shared()}, {"own profiles", own}} {
		for _, nodes := range []int{10, 1_000, 10_000} {
			b.Run(fmt.Sprintf("%s/nodes=%d", paint.name, nodes), func(b *testing.B) {
				c := big(nodes, paint.next)
				record, revision := *bigRecord(nodes/2, 0, paint.next()), int64(nodes)
				b.ReportAllocs()
				for b.Loop() {
					revision++
					r := record
					r.Revision = revision
					c.Put(&r)
				}
			})
		}
	}
}

// The newest nodes go first, so each takes the lead with it.
func BenchmarkDeleteAll(b *testing.B) {
	for _, paint := range []struct {
		name string
		next func() *catalog.Profile
	}{{"shared profile", shared()}, {"own profiles", own}} {
		for _, nodes := range []int{100, 1_000} {
			b.Run(fmt.Sprintf("%s/nodes=%d", paint.name, nodes), func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					c := big(nodes, paint.next)
					b.StartTimer()
					for i := nodes - 1; i >= 0; i-- {
						c.Delete("node-" + strconv.Itoa(i))
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*nodes), "ns/node")
			})
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	const nodes = 1_000
	paint := shared()
	b.Run("Snapshot after a change", func(b *testing.B) {
		c, revision := big(nodes, paint), int64(nodes)
		record := *bigRecord(nodes/2, 0, paint())
		b.ReportAllocs()
		for b.Loop() {
			revision++
			r := record
			r.Revision = revision
			c.Put(&r)
			c.Snapshot("s")
		}
	})
	b.Run("Snapshot unchanged", func(b *testing.B) {
		c := big(nodes, paint)
		b.ReportAllocs()
		for b.Loop() {
			c.Snapshot("s")
		}
	})
}
