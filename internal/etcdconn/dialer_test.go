package etcdconn

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
