package etcd

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"
)

// hung is a logger that hangs until it is let go, and asks the registry for its Status before.
type hung struct {
	recorder
	asks  func() Status
	letGo chan struct{}
}

func (h *hung) Log(level logger.Level, v ...any) {
	if h.asks != nil {
		h.asks()
	}
	<-h.letGo
	h.recorder.Log(level, v...)
}

func TestNobodyWaitsForALogger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hung{letGo: make(chan struct{})}
		l := newLog(h)
		for i := range 2 * maxLines {
			l.warnf("%d", i)
		}
		began := time.Now()
		l.close()
		require.Equal(t, closeTime, time.Since(began))
		close(h.letGo)
		synctest.Wait()
		lines := h.logged()
		require.GreaterOrEqual(t, len(lines), maxLines)
		for i, line := range lines[:maxLines] {
			require.Equal(t, fmt.Sprintf("warn etcd registry: %d", i), line)
		}
		require.Contains(t, lines[len(lines)-1], "lines weren't logged")
	})
}

func TestALoggerMayAskForTheStatusOrHang(t *testing.T) {
	for _, asks := range []bool{false, true} {
		t.Run(fmt.Sprint("asks ", asks), func(t *testing.T) {
			withFake(t, func(t *testing.T, e *fakeEtcd) {
				h := &hung{letGo: make(chan struct{})}
				r, _ := e.newRegistry(t, registry.Logger(h))
				if asks {
					h.asks = r.Status
					close(h.letGo)
				}
				mustRegister(t, r, greeter(2), testTTL)
				e.put(greeterKey, "junk", 0)
				e.put(greeterDir+"other", "junk", 0)
				time.Sleep(time.Minute)
				e.put(greeterKey, stored(rival()), e.lease(60)) // which is said
				time.Sleep(time.Second)
				require.Len(t, looked(t, r, "greeter").lines(), 1)
				require.NoError(t, r.Deregister(greeter(2)))
				require.Empty(t, r.Status().Registrations)
				if !asks {
					close(h.letGo)
				}
				require.NoError(t, r.Close())
				require.Len(t, h.logged(), 2)
			})
		})
	}
}
