package catalog_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

func TestNewestRecordGivesTheProfile(t *testing.T) {
	red, blue := profile("red"), profile("blue")
	a := put(rec("k", 1, "s@1", "a=:1", red), "create s@1 red: a=:1")
	b := put(rec("l", 2, "s@1", "b=:2", blue), "create s@1 blue: b=:2")
	for _, tt := range []struct {
		rule     string
		steps    []step
		services []string
	}{
		{"a newer node brings its profile", []step{a, b}, []string{"s@1 blue: a=:1, b=:2"}},
		{"an older node does not", []step{
			put(rec("l", 2, "s@1", "b=:2", blue), "create s@1 blue: b=:2"),
			put(rec("k", 1, "s@1", "a=:1", red), "create s@1 blue: a=:1"),
		}, []string{"s@1 blue: a=:1, b=:2"}},
		{"an update reports the version's profile, not the record's own", []step{
			put(rec("l", 9, "s@1", "b=:2", blue), "create s@1 blue: b=:2"),
			put(rec("k", 1, "s@1", "a=:1", red), "create s@1 blue: a=:1"),
			put(rec("k", 3, "s@1", "a=:3", red), "update s@1 blue: a=:3"),
		}, []string{"s@1 blue: a=:3, b=:2"}},
		{"a delete reports the record's own profile", []step{
			a, b,
			del("k", "delete s@1 red: a=:1"),
		}, []string{"s@1 blue: b=:2"}},
		{"deletion of the newest brings the other profile, with an update", []step{
			a, b,
			del("l", "delete s@1 blue: b=:2", "update s@1 red: a=:1"),
		}, []string{"s@1 red: a=:1"}},
		{"deletion of the newest without a change of profile needs no update", []step{
			a,
			put(rec("l", 2, "s@1", "b=:2", profile("red")), "create s@1 red: b=:2"),
			del("l", "delete s@1 red: b=:2"),
		}, []string{"s@1 red: a=:1"}},
		{"the update names the newest of those left", []step{
			put(rec("j", 1, "s@1", "c=:3", red), "create s@1 red: c=:3"),
			put(rec("k", 3, "s@1", "a=:1", red), "create s@1 red: a=:1"),
			put(rec("i", 2, "s@1", "d=:4", red), "create s@1 red: d=:4"),
			put(rec("l", 4, "s@1", "b=:2", blue), "create s@1 blue: b=:2"),
			del("l", "delete s@1 blue: b=:2", "update s@1 red: a=:1"),
		}, []string{"s@1 red: a=:1, c=:3, d=:4"}},
		{"the newest moves away: delete, update there, then update of who stays", []step{
			a, b,
			put(rec("l", 3, "s@2", "b=:2", blue),
				"delete s@1 blue: b=:2", "update s@2 blue: b=:2", "update s@1 red: a=:1"),
		}, []string{"s@1 red: a=:1", "s@2 blue: b=:2"}},
		{"the newest key goes over to another node id", []step{
			a, b,
			put(rec("l", 3, "s@1", "c=:3", blue),
				"delete s@1 blue: b=:2", "update s@1 red: a=:1", "create s@1 blue: c=:3"),
		}, []string{"s@1 blue: a=:1, c=:3"}},
		{"the newest key goes over to another name", []step{
			a, b,
			put(rec("l", 3, "t@1", "b=:2", blue),
				"delete s@1 blue: b=:2", "update s@1 red: a=:1", "create t@1 blue: b=:2"),
		}, []string{"s@1 red: a=:1", "t@1 blue: b=:2"}},
		{"the newest is rewritten as an old one: its update carries the other's profile", []step{
			put(rec("k", 5, "s@1", "a=:1", red), "create s@1 red: a=:1"),
			put(rec("l", 9, "s@1", "b=:2", blue), "create s@1 blue: b=:2"),
			put(rec("l", 2, "s@1", "b=:2", blue), "update s@1 red: b=:2"),
		}, []string{"s@1 red: a=:1, b=:2"}},
		{"a shadowed record has no say", []step{
			put(rec("m", 8, "s@1", "b=:8", red), "create s@1 red: b=:8"),
			a,
			put(rec("l", 7, "s@1", "b=:2", blue)),
			del("m", "update s@1 blue: b=:2"),
		}, []string{"s@1 blue: a=:1, b=:2"}},
		{"a restated record that only grew newer brings its profile", []step{
			put(rec("l", 2, "s@1", "b=:2", blue), "create s@1 blue: b=:2"),
			put(rec("k", 1, "s@1", "a=:1", red), "create s@1 blue: a=:1"),
			restate(rec("k", 1, "s@1", "a=:1", red)),
			restate(rec("k", 3, "s@1", "a=:1", red), "update s@1 red: a=:1"),
		}, []string{"s@1 red: a=:1, b=:2"}},
		{"a restated record that only grew older loses its say", []step{
			put(rec("k", 2, "s@1", "a=:1", red), "create s@1 red: a=:1"),
			put(rec("l", 3, "s@1", "b=:2", blue), "create s@1 blue: b=:2"),
			restate(rec("l", 1, "s@1", "b=:2", blue), "update s@1 red: b=:2"),
		}, []string{"s@1 red: a=:1, b=:2"}},
		{"versions have profiles of their own", []step{
			a,
			put(rec("l", 2, "s@2", "b=:2", blue), "create s@2 blue: b=:2"),
			put(rec("m", 3, "s@1", "c=:3", red), "create s@1 red: c=:3"),
			del("l", "delete s@2 blue: b=:2"),
		}, []string{"s@1 red: a=:1, c=:3"}},
	} {
		t.Run(tt.rule, func(t *testing.T) { run(t, tt.steps, tt.services...) })
	}
}

// The leader is looked for only when profiles differ, so equal and same must tell the same.
func TestEqualProfilesAreAsGoodAsShared(t *testing.T) {
	red := profile("red")
	for name, paint := range map[string]func() *catalog.Profile{
		"shared": func() *catalog.Profile { return red },
		"equal":  func() *catalog.Profile { return profile("red") },
	} {
		t.Run(name, func(t *testing.T) {
			c := run(t, []step{
				put(rec("k", 1, "s@1", "a=:1", paint()), "create s@1 red: a=:1"),
				put(rec("l", 2, "s@1", "b=:2", paint()), "create s@1 red: b=:2"),
				put(rec("l", 3, "s@1", "b=:2", paint()), "update s@1 red: b=:2"),
				restate(rec("l", 4, "s@1", "b=:2", paint())),
				put(rec("m", 5, "s@1", "c=:3", paint()), "create s@1 red: c=:3"),
				del("m", "delete s@1 red: c=:3"),
				del("l", "delete s@1 red: b=:2"),
			}, "s@1 red: a=:1")
			require.True(t, c.Snapshot("s").Versions[0].Profile.Equal(red))
		})
	}
}
