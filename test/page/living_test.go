package page

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAServiceAppearsWithoutReloadAndGoesWhenItsProcessIsKilled(t *testing.T) {
	w := newWorld(t)
	b := open(t, w.ui.url)
	b.awaitText("#empty", "Nothing is registered")
	b.awaitText("#verdict", "etcd is healthy")
	eval[bool](b, "window.stayed = true")

	killed, stopped := w.greeter(t), w.greeter(t)
	b.await("two greeters are there", count("greeter")+" === 2")
	b.awaitText("#events", "appeared")
	eval[bool](b, row("greeter")+".querySelector('a').click(), true")
	b.await("both nodes have an address and a lease", `document.querySelectorAll('#nodes tr').length === 2 &&
		[...document.querySelectorAll('#nodes tr')].every((r) => /:\d+/.test(r.textContent) &&
			/\d+ of 2 s/.test(r.querySelector('.ttl').textContent))`)
	eval[bool](b, "document.getElementById('tab-endpoints').click(), true")
	b.awaitText("#panel-endpoints", "Greeter.Hello")
	b.awaitText("#panel-endpoints", "Request")
	b.awaitText("#panel-endpoints", "Response")

	killed.end(syscall.SIGKILL)
	b.await("the killed one goes", count("greeter")+" === 1")
	b.await("in the opened service too", "document.querySelectorAll('#nodes tr').length === 1")
	stopped.end(syscall.SIGTERM)
	b.await("the service goes with its last node", "!"+row("greeter"))
	b.await("the opened service says so", "!document.getElementById('detail-gone').hidden")
	b.awaitText("#changes", "gone")

	require.True(t, eval[bool](b, "window.stayed"), "the page was loaded anew")
	require.Empty(t, b.complaints())
}
