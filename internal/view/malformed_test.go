package view

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

func TestAMalformedRecordIsReportedOnceAndCountedEveryTime(t *testing.T) {
	m := &malformed{changed: func() {}}
	require.Zero(t, m.Total())
	for range 3 {
		m.note("/a/1", catalog.ErrMalformed)
		m.note("/a/2", fmt.Errorf("%w: no node with an id", catalog.ErrMalformed))
	}
	require.Equal(t, uint64(6), m.Total())
	require.Equal(t, []malformedValue{
		{Key: "/a/1", Reason: "malformed record"}, {Key: "/a/2", Reason: "malformed record: no node with an id"},
	}, m.Take())
	require.Empty(t, m.Take())
}

func TestMalformedRecordsDontFloodTheLog(t *testing.T) {
	m := &malformed{changed: func() {}}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 2 * MaxMalformed {
				m.note(fmt.Sprint(i, strings.Repeat("x", 1000)), catalog.ErrMalformed)
			}
		})
	}
	wg.Wait()
	require.Equal(t, uint64(8*MaxMalformed), m.Total())
	fresh := m.Take()
	require.Len(t, fresh, MaxMalformed)
	require.True(t, fresh[MaxMalformed-1].Last)
	require.Len(t, fresh[0].Key, maxClip)
	require.Len(t, m.keys, MaxMalformed)
}
