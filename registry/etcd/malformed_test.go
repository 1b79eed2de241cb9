package etcd

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAMalformedRecordIsLoggedOnceAndCountedEveryTime(t *testing.T) {
	r := &recorder{}
	m := &malformed{log: newLog(r)}
	require.Zero(t, m.total())
	for range 3 {
		m.note("/a/1", ErrMalformed)
		m.note("/a/2", fmt.Errorf("%w: no node with an id", ErrMalformed))
	}
	require.Equal(t, uint64(6), m.total())
	m.log.close()
	require.Equal(t, []string{
		`warn etcd registry: skipping "/a/1": malformed record`,
		`warn etcd registry: skipping "/a/2": malformed record: no node with an id`,
	}, r.logged())
}

func TestMalformedRecordsDontFloodTheLog(t *testing.T) {
	r := &recorder{}
	m := &malformed{log: newLog(r)}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 2 * maxMalformed {
				m.note(fmt.Sprint(i), ErrMalformed)
			}
		})
	}
	wg.Wait()
	require.Equal(t, uint64(8*maxMalformed), m.total())
	m.log.close()
	lines := r.logged()
	require.Len(t, lines, maxMalformed+1)
	require.Contains(t, lines[maxMalformed], "Status goes on counting")
	require.Len(t, m.keys, maxMalformed)
}
