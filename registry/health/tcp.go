package health

import (
	"context"
	"net"
)

// TCP returns a check that opens a connection to the node and closes it.
//
// It passes as long as the kernel accepts connections for the node's listener. A process that has stopped or closed its
// listener fails. A process that hangs passes, until its queue of connections is full: to notice that, ask it for
// something, with [HTTP], [GRPC], [Micro] or a [Func].
func TCP() Check {
	return Check{Name: "tcp", Probe: func(ctx context.Context, address string) error {
		target, err := hostPort(address)
		if err != nil {
			return err
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", target)
		if err != nil {
			return err
		}
		return conn.Close()
	}}
}
