package interop

import (
	"strings"
	"testing"
)

// startCluster runs members that keep the same data.
func startCluster(t testing.TB, version string, n int) []*server {
	t.Helper()
	members := make([]*server, n)
	urls := make([]string, n)
	for i := range members {
		members[i] = newServer(t, version, "http", nil)
		urls[i] = members[i].name() + "=http://" + loopback(members[i].peer)
	}
	for _, m := range members {
		m.args = append(m.args, "--initial-cluster", strings.Join(urls, ","))
		m.start(t)
	}
	for _, m := range members {
		m.awaitHealth(t)
	}
	return members
}

func addresses(members []*server) string {
	all := make([]string, len(members))
	for i, m := range members {
		all[i] = m.address()
	}
	return strings.Join(all, ",")
}
