package interop

import (
	"strings"
	"testing"
)

// startCluster runs members that keep the same data.
func startCluster(tb testing.TB, version string, n int) []*server {
	tb.Helper()
	members := make([]*server, n)
	for i := range members {
		members[i] = newServer(tb, version, "http", nil)
	}
	for _, m := range members {
		m.args = append(m.args, "--initial-cluster", peers(members))
	}
	startAll(tb, members)
	return members
}

func startAll(tb testing.TB, members []*server) {
	tb.Helper()
	for _, m := range members {
		m.start(tb)
	}
	for _, m := range members {
		m.awaitHealth(tb)
	}
}

// peers are the members as they know each other.
func peers(members []*server) string {
	urls := make([]string, len(members))
	for i, m := range members {
		urls[i] = m.name() + "=http://" + loopback(m.peer)
	}
	return strings.Join(urls, ",")
}

func addresses(members []*server) string {
	all := make([]string, len(members))
	for i, m := range members {
		all[i] = m.address()
	}
	return strings.Join(all, ",")
}
