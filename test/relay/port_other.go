//go:build !linux

package relay

import "net"

// holdPort finds a port that is free. Elsewhere than on Linux nothing keeps others from it while the relay refuses.
func holdPort(address string) (release func(), bound string, err error) {
	l, err := net.Listen("tcp", address) //nolint:noctx // doesn't wait
	if err != nil {
		return nil, "", err
	}
	return func() {}, l.Addr().String(), l.Close()
}
