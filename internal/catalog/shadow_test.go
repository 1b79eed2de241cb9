package catalog_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

func TestOneNodeUnderSeveralKeys(t *testing.T) {
	red, blue := profile("red"), profile("blue")
	old := put(rec("k", 1, "s@1", "a=:1", red), "create s@1 red: a=:1")
	for _, tt := range []struct {
		rule     string
		steps    []step
		services []string
	}{
		{"the highest revision wins", []step{
			old,
			put(rec("l", 2, "s@1", "a=:2", blue), "update s@1 blue: a=:2"),
		}, []string{"s@1 blue: a=:2"}},
		{"a lower revision is not seen", []step{
			put(rec("l", 2, "s@1", "a=:2", blue), "create s@1 blue: a=:2"),
			put(rec("k", 1, "s@1", "a=:1", red)),
		}, []string{"s@1 blue: a=:2"}},
		{"a record at another key doesn't hide the one at the node's own", []step{
			put(rec("/s/a", 1, "s@1", "a=:1", red), "create s@1 red: a=:1"),
			put(rec("/s/b", 2, "s@1", "a=:2", blue)),
			del("/s/a", "update s@1 blue: a=:2"),
			put(rec("/s/a", 3, "s@1", "a=:3", red), "update s@1 red: a=:3"),
		}, []string{"s@1 red: a=:3"}},
		{"a winner in another version takes the node there", []step{
			old,
			put(rec("l", 2, "s@2", "a=:2", blue), "delete s@1 red: a=:1", "update s@2 blue: a=:2"),
		}, []string{"s@2 blue: a=:2"}},
		{"deletion of the winner brings the other back", []step{
			old,
			put(rec("l", 2, "s@1", "a=:2", blue), "update s@1 blue: a=:2"),
			del("l", "update s@1 red: a=:1"),
		}, []string{"s@1 red: a=:1"}},
		{"deletion of the winner brings back a record of another version", []step{
			old,
			put(rec("l", 2, "s@2", "a=:2", blue), "delete s@1 red: a=:1", "update s@2 blue: a=:2"),
			del("l", "delete s@2 blue: a=:2", "update s@1 red: a=:1"),
		}, []string{"s@1 red: a=:1"}},
		{"deletion of the loser is not seen", []step{
			old,
			put(rec("l", 2, "s@1", "a=:2", blue), "update s@1 blue: a=:2"),
			del("k"),
			del("l", "delete s@1 blue: a=:2"),
		}, nil},
		{"of several losers the newest comes back", []step{
			put(rec("m", 2, "s@1", "a=:2", red), "create s@1 red: a=:2"),
			put(rec("l", 3, "s@1", "a=:3", red), "update s@1 red: a=:3"),
			put(rec("k", 1, "s@1", "a=:1", red)),
			del("l", "update s@1 red: a=:2"),
			del("m", "update s@1 red: a=:1"),
		}, []string{"s@1 red: a=:1"}},
		{"a loser that is written again wins", []step{
			old,
			put(rec("l", 2, "s@1", "a=:2", red), "update s@1 red: a=:2"),
			put(rec("k", 3, "s@1", "a=:3", red), "update s@1 red: a=:3"),
			del("k", "update s@1 red: a=:2"),
		}, []string{"s@1 red: a=:2"}},
		{"a loser that is written again as an older one stays one", []step{
			old,
			put(rec("l", 9, "s@1", "a=:2", red), "update s@1 red: a=:2"),
			put(rec("k", 3, "s@1", "a=:3", red)),
			del("l", "update s@1 red: a=:3"),
		}, []string{"s@1 red: a=:3"}},
		{"a winner that is rewritten with a lower revision loses", []step{
			put(rec("k", 5, "s@1", "a=:1", red), "create s@1 red: a=:1"),
			put(rec("l", 9, "s@1", "a=:2", red), "update s@1 red: a=:2"),
			put(rec("l", 2, "s@1", "a=:3", red), "update s@1 red: a=:1"),
		}, []string{"s@1 red: a=:1"}},
		{"a winner's key goes over to another node: the loser comes back", []step{
			old,
			put(rec("l", 2, "s@2", "a=:2", red), "delete s@1 red: a=:1", "update s@2 red: a=:2"),
			put(rec("l", 3, "s@2", "b=:3", red),
				"delete s@2 red: a=:2", "update s@1 red: a=:1", "create s@2 red: b=:3"),
		}, []string{"s@1 red: a=:1", "s@2 red: b=:3"}},
		{"a loser's key goes over to another node: the winner stays", []step{
			old,
			put(rec("l", 2, "s@1", "a=:2", red), "update s@1 red: a=:2"),
			put(rec("k", 3, "s@1", "b=:3", red), "create s@1 red: b=:3"),
			del("l", "delete s@1 red: a=:2"),
		}, []string{"s@1 red: b=:3"}},
	} {
		t.Run(tt.rule, func(t *testing.T) { run(t, tt.steps, tt.services...) })
	}
}

// Records of one transaction share a revision. The highest key wins, for the node and for the profile, whatever order
// they arrive in.
func TestTiesOfRevisionAreDecidedByKey(t *testing.T) {
	records := []*catalog.Record{
		rec("k1", 7, "s@1", "a=:1", profile("red")),
		rec("k2", 7, "s@1", "a=:2", profile("blue")),
		rec("k3", 7, "s@1", "b=:3", profile("green")),
		rec("k4", 7, "s@1", "b=:4", profile("black")),
		rec("k5", 7, "s@2", "c=:5", profile("white")),
		rec("k6", 7, "s@1", "c=:6", profile("brown")),
		rec("k0", 7, "s@1", "d=:7", profile("grey")),
	}
	for range 50 {
		c := catalog.New()
		rand.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
		for _, r := range records {
			c.Put(r)
		}
		require.Equal(t, []string{"s@1 brown: a=:2, b=:4, c=:6, d=:7"}, snapshotStrings(c))
		c.Delete("k6")
		require.Equal(t, []string{"s@1 black: a=:2, b=:4, d=:7", "s@2 white: c=:5"}, snapshotStrings(c))
		c.Delete("k4")
		require.Equal(t, []string{"s@1 green: a=:2, b=:3, d=:7", "s@2 white: c=:5"}, snapshotStrings(c))
	}
}
