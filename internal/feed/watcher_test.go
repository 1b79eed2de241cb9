package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
)

func TestNextReturnsChangesInOrder(t *testing.T) {
	w := NewWatcher(t.Context(), "")
	c := catalog.New()
	w.push(nil, c, nil)
	w.push(c.Put(rec("a@1/x", 1, "red")), c, nil)
	w.push(append(c.Put(rec("a@2/x", 2, "blue")), c.Delete("a/x")...), c, nil)
	for _, want := range []string{"create 1", "delete 1", "update 2", "delete 2"} {
		c, err := w.Next()
		require.NoError(t, err)
		require.Equal(t, want, string(c.Action)+" "+c.Record.Version)
		require.Equal(t, "a", c.Record.Name)
	}
	w.Stop()
}

func TestNextWaitsForAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWatcher(t.Context(), "")
		defer w.Stop()
		began := time.Now()
		go func() {
			time.Sleep(time.Hour)
			c := catalog.New()
			w.push(c.Put(rec("a@1/x", 1, "red")), c, nil)
		}()
		_, err := w.Next()
		require.NoError(t, err)
		require.Equal(t, time.Hour, time.Since(began))
	})
}

func TestStopUnblocksEveryNextForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWatcher(t.Context(), "")
		errs := make(chan error, 5)
		for range cap(errs) {
			go func() {
				_, err := w.Next()
				errs <- err
			}()
		}
		synctest.Wait()
		w.Stop()
		w.Stop()
		for range cap(errs) {
			require.Equal(t, ErrStopped, <-errs)
		}
		c := catalog.New()
		w.push(c.Put(rec("a@1/x", 1, "red")), c, nil)
		_, err := w.Next()
		require.Equal(t, ErrStopped, err)
	})
}

func TestTheErrorSaysWhyAWatcherEnded(t *testing.T) {
	c := catalog.New()
	cause := errors.New("because")
	for name, end := range map[string]struct {
		end  func(context.CancelCauseFunc, *Watcher)
		want error
	}{
		"its context was canceled": {func(cancel context.CancelCauseFunc, _ *Watcher) { cancel(nil) }, context.Canceled},
		"its context had a cause":  {func(cancel context.CancelCauseFunc, _ *Watcher) { cancel(cause) }, cause},
		"the registry was closed": {
			func(_ context.CancelCauseFunc, w *Watcher) { w.End(etcdconn.ErrClosed) }, etcdconn.ErrClosed,
		},
		"closed, then stopped": {
			func(_ context.CancelCauseFunc, w *Watcher) { w.End(etcdconn.ErrClosed); w.Stop() }, etcdconn.ErrClosed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			w := NewWatcher(ctx, "")
			w.push(c.Put(rec("a@1/x", 1, "red")), c, nil)
			end.end(cancel, w)
			for range 2 {
				_, err := w.Next()
				require.ErrorIs(t, err, end.want)
			}
		})
	}
}

func TestTheDeadlineOfItsContextEndsAWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := NewWatcher(ctx, "").Next()
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestABatchWakesSeveralReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWatcher(t.Context(), "")
		defer w.Stop()
		got := make(chan catalog.Change, 3)
		for range cap(got) {
			go func() {
				r, _ := w.Next()
				got <- r
			}()
		}
		synctest.Wait()
		c := catalog.New()
		w.push(slices.Concat(c.Put(rec("a@1/x", 1, "red")), c.Put(rec("a@1/y", 2, "red")), c.Delete("a/x")), c, nil)
		synctest.Wait()
		require.Len(t, got, 3)
	})
}

func TestSeveralReadersGetEachChangeOnce(t *testing.T) {
	const changes, readers = 3000, 4
	w := NewWatcher(t.Context(), "")
	var mu sync.Mutex
	got := make(map[string]int)
	var wg sync.WaitGroup
	all := make(chan struct{})
	for range readers {
		wg.Go(func() {
			for {
				r, err := w.Next()
				if err != nil {
					return
				}
				mu.Lock()
				got[r.Record.Node.Id]++
				if len(got) == changes {
					close(all)
				}
				mu.Unlock()
			}
		})
	}
	c := catalog.New()
	for i := range changes {
		w.push(c.Put(rec(fmt.Sprint("a@1/", i), int64(i+1), "red")), c, nil)
	}
	<-all
	w.Stop()
	wg.Wait()
	for id, times := range got {
		require.Equal(t, 1, times, id)
	}
}
