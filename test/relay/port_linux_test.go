package relay

import (
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A client that tries again mustn't reach another relay, which may be a way to another store.
func TestNobodyGetsThePortOfARelayThatRefuses(t *testing.T) {
	r := echo(t, NewLink(), nil)
	r.Refuse()
	_, err := net.Dial("tcp", r.Address())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	port := netip.MustParseAddrPort(r.Address()).Port()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	defer func() { _ = syscall.Close(fd) }()
	taken := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: int(port)})
	require.ErrorIs(t, taken, syscall.EADDRINUSE)

	require.NoError(t, r.Accept())
	call(t, r).say("again")
	r.End()
	l, err := net.Listen("tcp", r.Address())
	require.NoError(t, err, "after End the port is free")
	require.NoError(t, l.Close())
}
