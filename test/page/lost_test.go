package page

import (
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/test/auth"
)

func TestAnEtcdThatIsLostAndRegainedIsShown(t *testing.T) {
	w := newWorld(t)
	w.put(t, service("before", "1", "a", nil))
	b := open(t, w.ui.url)
	b.await("the service is there", row("before"))

	w.etcd.Stop()
	b.awaitText("#alerts", "etcd doesn't answer")
	b.awaitText("#verdict", "etcd is lost")
	b.awaitText("#staleness", "old")
	require.True(t, eval[bool](b, "Boolean("+row("before")+")"), "the last view stays")
	checkContrast(t, b)

	require.NoError(t, w.etcd.Restart())
	b.awaitText("#verdict", "etcd is healthy")
	b.await("the alert goes", "document.getElementById('alerts').textContent === ''")
	b.awaitText("#staleness", "current")
	w.put(t, service("after", "1", "a", nil))
	b.await("changes are shown again", row("after"))
	require.Empty(t, b.complaints())
}

// What isn't known is not zero.
func TestAnEtcdThatWasNeverReadIsShown(t *testing.T) {
	srv := etcdtest.Start(t, func(c *embed.Config) { c.BcryptCost = 4 })
	srv.Stop()
	u := startUI(t, srv.Endpoint(), "127.0.0.1:0")
	b := open(t, u.url)
	nothing := func() {
		for _, tile := range []string{"#count-services", "#count-nodes", "#count-changes", "#count-problems"} {
			b.awaitText(tile, "–")
		}
		b.awaitText("#empty", "Nothing could be read yet")
		b.awaitText("#staleness", "empty")
	}
	b.awaitText("#verdict", "etcd can't be reached")
	nothing()
	b.awaitText("#alerts", "etcd doesn't answer")
	checkContrast(t, b)

	require.NoError(t, srv.Restart())
	b.awaitText("#verdict", "etcd is healthy")
	b.awaitText("#count-services", "0")
	b.awaitText("#empty", "Nothing is registered")
	u.end(syscall.SIGKILL)

	auth.Enable(t, srv.Client(t), "pw")
	b = open(t, startUI(t, srv.Endpoint(), "127.0.0.1:0").url)
	b.awaitText("#verdict", "etcd refuses to tell")
	b.awaitText("#alerts", "give --user")
	nothing()
	require.Empty(t, b.complaints())
}

func TestAServerThatIsLostAndRegainedIsShown(t *testing.T) {
	w := newWorld(t)
	w.put(t, service("before", "1", "a", nil))
	b := open(t, w.ui.url)
	b.await("the service is there", row("before"))
	b.awaitText("#live", "Live")

	address := w.ui.address()
	w.ui.end(syscall.SIGKILL)
	b.awaitText("#alerts", "connection to this page's server is lost")
	b.awaitText("#live", "Connection lost")
	require.True(t, eval[bool](b, "Boolean("+row("before")+")"), "the last view stays")
	checkContrast(t, b)
	w.put(t, service("meanwhile", "1", "a", nil))

	startUI(t, w.etcd.Endpoint(), address)
	b.await("what happened meanwhile is shown", row("meanwhile"))
	b.await("the alert goes", "document.getElementById('alerts').textContent === ''")
	b.awaitText("#live", "Live")
	require.Empty(t, b.complaints())
}

// A server that is stopped, rather than gone, keeps its connections and says nothing.
func TestAServerThatFallsSilentIsShown(t *testing.T) {
	w := newWorld(t)
	b := open(t, w.ui.url)
	b.awaitText("#verdict", "etcd is healthy")

	require.NoError(t, w.ui.cmd.Process.Signal(syscall.SIGSTOP))
	b.awaitText("#live", "Connection lost")
	require.NoError(t, w.ui.cmd.Process.Signal(syscall.SIGCONT))
	b.awaitText("#live", "Live")
	require.Empty(t, b.complaints())
}

func TestAMemberThatIsDownIsShown(t *testing.T) {
	cluster := etcdtest.StartCluster(t, 3)
	u := startUI(t, strings.Join(cluster.Endpoints(), ","), "127.0.0.1:0")
	b := open(t, u.url)
	b.awaitText("#verdict", "all 3 members answer")
	b.await(
		"one of them leads",
		"[...document.querySelectorAll('.member .state')].map((s) => s.textContent).sort().join() === 'follower,follower,leader'",
	)

	leader := cluster.Leader()
	leader.Stop()
	b.awaitText("#verdict", "1 of 3 members of etcd doesn't answer")
	b.await(
		"another one leads",
		"[...document.querySelectorAll('.member:not(.bad) .state')].map((s) => s.textContent).sort().join() === 'follower,leader'",
	)
	b.await("nothing is lost", "document.getElementById('alerts').textContent === ''")
	checkContrast(t, b)
	require.NoError(t, leader.Restart())
	b.awaitText("#verdict", "all 3 members answer")
	require.Empty(t, b.complaints())
}
