package page

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASlowBrowserGetsASnapshotInsteadOfAQueue(t *testing.T) {
	h := newHub(newView(prefix))
	b, err := h.join()
	require.NoError(t, err)
	require.Nil(t, <-b.frames, "begins with a snapshot")
	_, err = h.snapshot(b)
	require.NoError(t, err)

	for i := range 10 * maxFrames {
		h.view.apply(appeared(record(fmt.Sprint("s", i), "1", "a", nil)))
		require.NoError(t, h.publish(nil))
		require.LessOrEqual(t, len(b.frames), maxFrames)
	}

	require.Len(t, b.frames, 1, "all that waited was dropped")
	require.Nil(t, <-b.frames)
	var m mirror
	f, err := h.snapshot(b)
	require.NoError(t, err)
	m.apply(t, f)
	require.Len(t, m.services, 10*maxFrames)

	h.view.apply(appeared(record("after", "1", "a", nil)))
	require.NoError(t, h.publish(nil))
	m.apply(t, <-b.frames)
	require.Contains(t, m.services, "after", "deltas go on after the snapshot")
}

func TestBrowsersAreBounded(t *testing.T) {
	h := newHub(newView(prefix))
	var last *browser
	for range maxBrowsers {
		b, err := h.join()
		require.NoError(t, err)
		last = b
	}
	_, err := h.join()
	require.ErrorIs(t, err, errFull)
	h.leave(last)
	_, err = h.join()
	require.NoError(t, err)
}

// Many goroutines change, publish and join at once; whoever read everything knows the truth.
func TestBrowsersThatComeWhileThingsChangeMissNothing(t *testing.T) {
	const services, browsers = 200, 8
	h := newHub(newView(prefix))
	var changing, reading sync.WaitGroup
	changed := make(chan struct{})
	for part := range 4 {
		changing.Go(func() {
			for i := range services {
				h.view.apply(appeared(record(fmt.Sprint("s", i), "1", fmt.Sprint("n", part), nil)))
			}
		})
	}
	changing.Go(func() {
		for range services {
			_ = h.publish(nil)
		}
	})
	mirrors := make([]mirror, browsers)
	for i := range mirrors {
		b, err := h.join()
		require.NoError(t, err)
		reading.Go(func() {
			for {
				select {
				case f := <-b.frames:
					if f == nil {
						f, _ = h.snapshot(b)
					}
					mirrors[i].apply(t, f)
				case <-changed:
					if len(b.frames) == 0 {
						return
					}
				}
			}
		})
	}
	changing.Wait()
	require.NoError(t, h.publish(nil))
	close(changed)
	reading.Wait()
	for i := range mirrors {
		require.Equal(t, truth(t, h), mirrors[i].services)
	}
}
