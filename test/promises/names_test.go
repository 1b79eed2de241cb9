package promises

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"

	"golang.org/x/net/dns/dnsmessage"
)

// names are what this process finds in the DNS.
var names = map[string][]string{
	"three.etcd.example.": {"127.0.0.3", "127.0.0.2", "127.0.0.1"},
	"one.etcd.example.":   {"127.0.0.1"},
}

// resolve makes this process ask a name server of its own.
func resolve() {
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe() // which the resolver takes for TCP
		go func() {
			defer ours.Close()
			_ = answer(ours) // a broken query is the resolver's to tell
		}()
		return theirs, nil
	}}
}

// answer answers one query.
func answer(c net.Conn) error {
	size := make([]byte, 2)
	if _, err := io.ReadFull(c, size); err != nil {
		return err
	}
	query := make([]byte, binary.BigEndian.Uint16(size))
	if _, err := io.ReadFull(c, query); err != nil {
		return err
	}
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return err
	}
	m.Response = true
	asked := m.Questions[0]
	addresses, known := names[asked.Name.String()]
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, a := range addresses {
		if asked.Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: asked.Name, Class: asked.Class, TTL: 1},
				Body:   &dnsmessage.AResource{A: netip.MustParseAddr(a).As4()},
			})
		}
	}
	m.Additionals = nil
	packed, err := m.Pack()
	if err != nil {
		return err
	}
	_, err = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...))
	return err
}
