package etcd

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAMalformedRecordIsReportedOnceAndCountedEveryTime(t *testing.T) {
	m := &malformed{changed: func() {}}
	require.Zero(t, m.total())
	for range 3 {
		m.note("/a/1", ErrMalformed)
		m.note("/a/2", fmt.Errorf("%w: no node with an id", ErrMalformed))
	}
	require.Equal(t, uint64(6), m.total())
	require.Equal(t, []malformedValue{
		{key: "/a/1", reason: "malformed record"}, {key: "/a/2", reason: "malformed record: no node with an id"},
	}, m.take())
	require.Empty(t, m.take())
}

func TestMalformedRecordsDontFloodTheLog(t *testing.T) {
	m := &malformed{changed: func() {}}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 2 * maxMalformed {
				m.note(fmt.Sprint(i, strings.Repeat("x", 1000)), ErrMalformed)
			}
		})
	}
	wg.Wait()
	require.Equal(t, uint64(8*maxMalformed), m.total())
	fresh := m.take()
	require.Len(t, fresh, maxMalformed)
	require.True(t, fresh[maxMalformed-1].last)
	require.Len(t, fresh[0].key, maxClip)
	require.Len(t, m.keys, maxMalformed)
}
