package etcdconn

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/peer"
)

func TestAMemberIsLeftAloneHoweverOftenItIsReported(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, silent.Close()) }()
	d := &Dialer{}
	conn, err := d.dial(t.Context(), silent.Addr().String())
	require.NoError(t, err)
	p := &peer.Peer{Addr: conn.RemoteAddr(), LocalAddr: conn.LocalAddr()}
	d.Close(p)
	waits, cancel := context.WithCancel(t.Context())
	waiting := make(chan struct{})
	go func() {
		defer close(waiting)
		d.awaitReadmission(waits, silent.Addr().String())
	}()
	d.Close(p)
	d.mu.Lock()
	d.ejectLocked(silent.Addr().String()) // as by one that has met it again
	d.mu.Unlock()
	select {
	case <-d.readmit:
		t.Fatal("it is readmitted")
	case <-waiting:
		t.Fatal("it is connected to")
	default:
	}
	cancel()
	<-waiting
}
