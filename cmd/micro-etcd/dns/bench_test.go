package dns

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
)

func tenThousand() []*fleet.Record {
	var all []*fleet.Record
	for i := range 10_000 {
		all = append(all, record(fmt.Sprint("go.micro.srv.s", i), "1", "n1", fmt.Sprintf("10.0.%d.%d:8080", i>>8, i&255)))
	}
	return all
}

// BenchmarkAnswer has no sockets.
func BenchmarkAnswer(b *testing.B) {
	c := configOf(b, "micro.internal")
	z := zoneOf(append(tenThousand(), bigFleet(1000)...)...)
	for _, bc := range []struct {
		what, name string
		qtype      uint16
	}{
		{"one node", "go.micro.srv.s77.service.micro.internal", dns.TypeA},
		{"1000 nodes", "big.service.micro.internal", dns.TypeA},
		{"1000 targets", "big.service.micro.internal", dns.TypeSRV},
		{"unknown", "go.micro.srv.x.service.micro.internal", dns.TypeA},
	} {
		b.Run(bc.what, func(b *testing.B) {
			q := question(bc.name, bc.qtype)
			q.TCP = false
			q.Msg.SetEdns0(1232, false)
			for b.Loop() {
				pack(b, c.Answer(z, q))
			}
		})
	}
}

// BenchmarkServer compares the server, with 10,000 services, with one of the same library that always answers the same.
func BenchmarkServer(b *testing.B) {
	name := "go.micro.srv.s77.service.micro.internal"
	ours := serve(b, zoneOf(tenThousand()...), configOf(b, "micro.internal"), "127.0.0.0/8")

	socket, err := Listen(context.Background(), "127.0.0.1:0")
	require.NoError(b, err)
	constant := &dns.Server{PacketConn: socket.udp, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		r := new(dns.Msg).SetReply(m)
		r.Authoritative = true
		r.Answer = []dns.RR{&dns.A{
			Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5},
			A:   netip.MustParseAddr("10.0.0.1").AsSlice(),
		}}
		_ = w.WriteMsg(r)
	})}
	served := make(chan error, 1)
	started := make(chan struct{})
	constant.NotifyStartedFunc = func() { close(started) }
	go func() { served <- constant.ActivateAndServe() }()
	<-started
	b.Cleanup(func() {
		require.NoError(b, constant.Shutdown())
		require.NoError(b, <-served)
		require.NoError(b, socket.tcp.Close())
	})

	for what, address := range map[string]string{"ours": ours, "constant": socket.udp.LocalAddr().String()} {
		b.Run(what, func(b *testing.B) {
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				client := &dns.Client{Timeout: patience}
				conn, err := client.Dial(address)
				if err != nil {
					b.Error(err)
					return
				}
				defer conn.Close()
				for pb.Next() {
					m, _, err := client.ExchangeWithConn(question(name, dns.TypeA).Msg, conn)
					if err != nil || len(m.Answer) != 1 {
						b.Error(m, err)
						return
					}
				}
			})
		})
	}
}
