package etcd

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAMalformedRecordIsReportedOnceAndCountedEveryTime(t *testing.T) {
	m := &malformed{}
	require.Zero(t, m.total())
	for range 3 {
		m.note("/a/1", ErrMalformed)
		m.note("/a/2", fmt.Errorf("%w: no node with an id", ErrMalformed))
	}
	require.Equal(t, uint64(6), m.total())
	fresh, last := m.take()
	require.Equal(t, []malformedKey{{"/a/1", "malformed record"}, {"/a/2", "malformed record: no node with an id"}}, fresh)
	require.False(t, last)
	m.note("/a/1", ErrMalformed)
	fresh, _ = m.take()
	require.Empty(t, fresh)
}

func TestMalformedRecordsAreBounded(t *testing.T) {
	m := &malformed{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 2 * maxMalformed {
				m.note(fmt.Sprint(i, strings.Repeat("k", 1000)), errors.New(strings.Repeat("e", 1000)))
			}
		})
	}
	wg.Wait()
	require.Equal(t, uint64(8*maxMalformed), m.total())
	fresh, last := m.take()
	require.True(t, last)
	require.Len(t, fresh, maxMalformed)
	require.Len(t, m.keys, maxMalformed)
	for _, one := range fresh {
		require.Len(t, one.key, maxMalformedText)
		require.Len(t, one.reason, maxMalformedText)
	}
	_, last = m.take()
	require.False(t, last)
}
