package page

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/etcdtest"
)

// twoDatacenters are eu1 and us1 on one page.
func twoDatacenters(t *testing.T) (eu1, us1 world) {
	t.Helper()
	one, two := etcdtest.Start(t), etcdtest.Start(t)
	p := start(t, uiBinary, "ui", "--dc", "eu1="+one.Endpoint(), "--dc", "us1="+two.Endpoint(), "--listen", "127.0.0.1:0")
	u := ui{process: p, url: strings.TrimSpace(p.line)}
	return world{etcd: one, client: one.Client(t), ui: u}, world{etcd: two, client: two.Client(t), ui: u}
}

// current is the expression of which data center the switch says is shown.
const current = "document.querySelector('#datacenters [aria-current=page]').textContent"

// link is the expression of a data center's link in the switch.
func link(name string) string {
	return "[...document.querySelectorAll('#datacenters a')].find((a) => a.textContent.startsWith(" + quote(name) + "))"
}

func TestASwitchLeadsFromOneDatacenterToAnother(t *testing.T) {
	eu1, us1 := twoDatacenters(t)
	eu1.put(t, service("greeter", "1.0", "a", nil))
	us1.put(t, service("greeter", "2.0", "a", nil))
	us1.put(t, service("mail", "1.0", "a", map[string]string{"zone": "west"}))
	b := open(t, eu1.ui.url)
	b.await("the first is shown", current+" === 'eu1' && "+shown+" === 'greeter'")
	b.await("its name is in the title", "document.title.endsWith('· eu1 · micro-etcd')")

	eval[bool](b, row("greeter")+".querySelector('a').click(), true")
	b.await("its version is shown", opened+" === 'greeter' && "+
		"document.getElementById('detail-versions').textContent.includes('1.0')")
	eval[bool](b, link("us1")+".focus(), true")
	b.press(kb.Enter)
	b.await("the other is shown, with the same service", current+" === 'us1' && "+opened+" === 'greeter' && "+
		"document.getElementById('nodes').textContent.includes('2.0')")
	require.Equal(t, "?dc=us1#/service/greeter", eval[string](b, "location.search + location.hash"))
	b.press(kb.Escape)
	b.await("closing leaves it there", opened+" === '' && location.search === '?dc=us1' && "+shown+" === 'greeter,mail'")
	b.slash()
	b.press("west")
	b.await("its nodes are searched", shown+" === 'mail'")
	b.press(kb.Escape)

	eval[bool](b, link("eu1")+".click(), true")
	b.await("back by the switch", current+" === 'eu1' && "+shown+" === 'greeter'")
	eval[bool](b, "history.back(), true")
	b.await("the browser's button leads back", current+" === 'us1' && "+shown+" === 'greeter,mail'")

	b = open(t, eu1.ui.url+"?dc=us1#/service/mail")
	b.await("a link leads there", current+" === 'us1' && "+opened+" === 'mail'")
	b.await("its name is in the title", "document.title.endsWith('· us1 · micro-etcd')")
	require.Empty(t, b.complaints())
	b = open(t, eu1.ui.url+"?dc=us2")
	b.awaitText("body", `there is no data center "us2": known are eu1, us1`)
}

func TestADatacenterThatIsAwayIsMarkedInTheSwitch(t *testing.T) {
	eu1, us1 := twoDatacenters(t)
	us1.put(t, service("mail", "1.0", "a", nil))
	b := open(t, eu1.ui.url)
	b.await("both are there", "[...document.querySelectorAll('#datacenters a')].every((a) => a.dataset.level === 'good')")
	tells := func(want ...string) { // a screen reader, which the browser tells a moment later
		t.Helper()
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			var links []string
			for _, n := range call(b, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes {
				if !n.Ignored && text(n.Role) == "link" {
					links = append(links, text(n.Name))
				}
			}
			require.Equal(c, want, links)
		}, patience, 20*time.Millisecond)
	}
	tells("eu1", "us1")

	us1.etcd.Stop()
	b.await("us1 is marked", link("us1")+".textContent === 'us1 away' && "+link("us1")+".title !== ''")
	b.awaitText("#away", "Can't be reached: us1")
	tells("eu1", "us1 away")
	require.Equal(t, "eu1", eval[string](b, link("eu1")+".textContent"))
	b.awaitText("#verdict", "etcd is healthy")
	require.Empty(t, eval[string](b, "document.getElementById('alerts').textContent"))
	eu1.put(t, service("greeter", "1.0", "a", nil))
	b.await("eu1 goes on", row("greeter"))
	checkContrast(t, b)

	eval[bool](b, link("us1")+".click(), true")
	b.awaitText("#verdict", "etcd is lost")
	b.awaitText("#alerts", "etcd doesn't answer")
	b.await("the last view stays", row("mail"))
	require.Empty(t, eval[string](b, "document.getElementById('away').textContent"), "the alert says it")
	checkContrast(t, b)
	b.size(360, 640, true)
	b.await("it fits a phone", "document.documentElement.scrollWidth <= innerWidth && "+link("us1")+".checkVisibility()")

	eval[bool](b, link("us1")+".focus(), true")
	require.NoError(t, us1.etcd.Restart())
	b.awaitText("#verdict", "etcd is healthy")
	b.await("it isn't away any more", link("us1")+".textContent === 'us1'")
	require.True(t, eval[bool](b, "document.activeElement === "+link("us1")), "the keyboard stays where it is")
	require.Empty(t, b.complaints())
}

func TestOneDatacenterHasANameAndNoSwitch(t *testing.T) {
	srv := etcdtest.Start(t)
	p := start(t, uiBinary, "ui", "--dc", "us1="+srv.Endpoint(), "--listen", "127.0.0.1:0")
	b := open(t, strings.TrimSpace(p.line))
	b.awaitText("#datacenter", "us1")
	require.True(t, eval[bool](b, "document.getElementById('datacenters').hidden"))
	b = open(t, startUI(t, srv.Endpoint(), "127.0.0.1:0").url)
	b.awaitText("#verdict", "etcd is healthy")
	require.False(t, eval[bool](b, "document.getElementById('datacenter').checkVisibility()"))
	require.True(t, eval[bool](b, "document.getElementById('datacenters').hidden"))
}
