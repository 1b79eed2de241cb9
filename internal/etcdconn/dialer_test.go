package etcdconn

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

func TestAMemberIsLeftAloneHoweverOftenItIsReported(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, silent.Close()) }()
	d := &Dialer{}
	_, err = d.dial(t.Context(), silent.Addr().String())
	require.NoError(t, err)
	d.Close(silent.Addr().String(), time.Now())
	waits, cancel := context.WithCancel(t.Context())
	waiting := make(chan struct{})
	go func() {
		defer close(waiting)
		d.awaitReadmission(waits, silent.Addr().String())
	}()
	d.Close(silent.Addr().String(), time.Now())
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

// gRPC's texts are what tells these apart.
func TestErrSaysWhyThereIsNoConnection(t *testing.T) {
	listen := func(serve func(net.Conn)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		served := make(chan struct{})
		go func() {
			defer close(served)
			for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
				serve(conn)
			}
		}()
		t.Cleanup(func() {
			require.NoError(t, l.Close())
			<-served
		})
		return l.Addr().String()
	}
	hold := listen(func(conn net.Conn) {
		_, _ = io.Copy(io.Discard, conn)
		require.NoError(t, conn.Close())
	})
	hangUp := listen(func(conn net.Conn) { require.NoError(t, conn.Close()) })
	http := listen(func(conn net.Conn) {
		_, _ = io.ReadFull(conn, make([]byte, 24)) // else the client may see a reset
		_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		require.NoError(t, conn.Close())
	})
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	for name, c := range map[string]struct {
		address, says string
		config        *tls.Config
	}{
		"refused":           {address: gone.Addr().String(), says: "connection refused"},
		"hung up":           {address: hangUp, says: "closed it without an answer"},
		"TLS against plain": {hangUp, "authentication handshake failed: ", &tls.Config{}},
		"no answer":         {address: hold, says: hold + " accepts connections but doesn't answer"},
		"another protocol":  {address: http, says: "HTTP/1.1"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &Dialer{}
			require.NoError(t, d.Err())
			soon := grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: 100 * time.Millisecond})
			conn, err := grpc.NewClient("passthrough:///"+c.address, append(d.DialOptions(1, c.config), soon)...)
			require.NoError(t, err)
			defer func() { require.NoError(t, conn.Close()) }()
			conn.Connect()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for state := conn.GetState(); state != connectivity.TransientFailure; state = conn.GetState() {
				require.True(t, conn.WaitForStateChange(ctx, state), d.Err())
			}
			require.ErrorContains(t, d.Err(), c.says)
		})
	}
}
