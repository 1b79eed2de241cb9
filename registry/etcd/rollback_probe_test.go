package etcd

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

type nowhere struct{}

func (nowhere) writingOf(string) writing { return writing{} }

func TestADrawHasTheOldestAndTheNewest(t *testing.T) {
	for _, n := range []int{0, 1, 2, maxSpots, maxSpots + 1, 100} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			picked := make(map[string]bool)
			for range 200 {
				var c draw
				for i := range n {
					c.add(spot{fmt.Sprint(i), writing{revision: int64(1 + (i*7919)%1009)}, nowhere{}})
				}
				spots := c.spots()
				assert.Len(t, spots, min(n, maxSpots))
				once := make(map[string]bool)
				for _, s := range spots {
					once[s.key], picked[s.key] = true, true
				}
				assert.Len(t, once, len(spots), "each once")
				if n > 0 {
					assert.True(t, once[c.oldest.key] && once[c.newest.key])
				}
			}
			assert.Equal(t, n, len(picked), "any key may be chosen") //nolint:testifylint // a map of a hundred is no help
		})
	}
}
