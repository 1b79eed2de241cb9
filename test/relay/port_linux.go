package relay

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
)

// holdPort binds a socket to an address without listening at it, so that nobody gets its port while the relay refuses:
// a client that tries again would reach somebody else's server there. The relay itself can listen at it, because Go
// sets SO_REUSEADDR, too.
func holdPort(address string) (release func(), bound string, err error) {
	at, err := netip.ParseAddrPort(address)
	if err == nil && !at.Addr().Is4() {
		err = fmt.Errorf("%s: not an IPv4 address", address)
	}
	if err != nil {
		return nil, "", err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, "", os.NewSyscallError("socket", err)
	}
	port, err := bind(fd, &syscall.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())})
	if err != nil {
		_ = syscall.Close(fd)
		return nil, "", err
	}
	bound = net.JoinHostPort(at.Addr().String(), strconv.Itoa(port))
	return func() { _ = syscall.Close(fd) }, bound, nil
}

func bind(fd int, at *syscall.SockaddrInet4) (port int, err error) {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(fd, at); err != nil {
		return 0, os.NewSyscallError("bind", err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	return name.(*syscall.SockaddrInet4).Port, nil
}
