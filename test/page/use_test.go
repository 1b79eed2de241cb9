package page

import (
	"fmt"
	"os/exec"
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

const (
	shown  = "[...document.querySelectorAll('#rows tr:not(.spacer)')].map((r) => r.dataset.name).join()"
	opened = "(document.getElementById('detail').hidden ? '' : document.getElementById('detail-title').textContent)"
	active = "(document.activeElement.closest('tr')?.dataset.name ?? document.activeElement.id)"
)

func fruits(t *testing.T, w world) {
	t.Helper()
	for i, name := range []string{"apple", "banana", "cherry", "pineapple"} {
		w.put(t, service(
			name, fmt.Sprintf("1.%d.0", i), "node-"+name, map[string]string{"zone": fmt.Sprint("zone-", i)},
		), w.lease(t, 600e9))
	}
	w.put(t, service("banana", "7.7.7", "second", map[string]string{"color": "Yellow"}), w.lease(t, 600e9))
}

func TestSearchAsYouType(t *testing.T) {
	w := newWorld(t)
	fruits(t, w)
	b := open(t, w.ui.url)
	b.await("all are there", shown+" === 'apple,banana,cherry,pineapple'")

	b.slash()
	b.await("the slash puts the keyboard into the search", active+" === 'search'")
	for _, step := range []struct{ typed, shown string }{
		{"a", "apple,banana,pineapple"},
		{"p", "apple,pineapple"},
		{"p", "apple,pineapple"},
	} {
		b.press(step.typed)
		b.await("typing narrows the list", shown+" === '"+step.shown+"'")
	}
	b.awaitText("#matches", "2 of 4 match")
	b.awaitText("#announce", "2 services found")
	b.press(kb.Escape)
	b.await("escape clears it", shown+" === 'apple,banana,cherry,pineapple'")

	for _, search := range [][2]string{
		{"7.7.7", "banana"}, {"zone-2", "cherry"}, {"YELLOW", "banana"}, {"node-apple", "apple"}, {"nothing", ""},
	} {
		words, want := search[0], search[1] // no two in a row find the same
		eval[bool](b, "((f) => { f.value = '"+words+
			"'; f.dispatchEvent(new Event('input')); return true })(document.getElementById('search'))")
		b.await(words+" finds "+want, shown+" === '"+want+"'")
	}
	b.awaitText("#empty", "Nothing matches")
	eval[bool](
		b,
		"((f) => { f.value = 'color=yellow'; f.dispatchEvent(new Event('input')); return true })(document.getElementById('search'))",
	)
	b.await("metadata is searched", shown+" === 'banana'")
	b.press(kb.Enter)
	b.press(kb.Enter)
	b.await(
		"only the node that matches is shown",
		"document.querySelectorAll('#nodes tr').length === 1 && document.getElementById('range').textContent === '1 of 2 nodes'",
	)

	w.put(t, service("lemon", "1", "x", map[string]string{"color": "yellow"}))
	b.await("a search that stands finds what comes", shown+" === 'banana,lemon'")
	require.Empty(t, b.complaints())
}

func TestAllCanBeDoneWithTheKeyboard(t *testing.T) {
	w := newWorld(t)
	fruits(t, w)
	b := open(t, w.ui.url)
	b.await("all are there", shown+" === 'apple,banana,cherry,pineapple'")

	b.slash()
	b.press(kb.ArrowDown)
	b.await("down leads into the list", active+" === 'apple'")
	b.press(kb.ArrowDown)
	b.await("and on", active+" === 'banana'")
	b.press(kb.End)
	b.await("end is the last", active+" === 'pineapple'")
	b.press(kb.ArrowUp)
	b.await("up is back", active+" === 'cherry'")
	b.press(kb.Enter)
	b.await("enter opens", opened+" === 'cherry' && "+active+" === 'detail-title'")
	require.Equal(t, "#/service/cherry", eval[string](b, "location.hash"))
	for range 4 {
		if eval[string](b, active) == "tab-nodes" {
			break
		}
		b.press(kb.Tab)
	}
	require.Equal(t, "tab-nodes", eval[string](b, active))
	b.press(kb.ArrowRight)
	b.await("arrows choose a tab", active+" === 'tab-endpoints' && !document.getElementById('panel-endpoints').hidden")
	b.press(kb.Escape)
	b.await("escape closes, and the keyboard is where it was", opened+" === '' && "+active+" === 'cherry'")
	eval[bool](b, "history.back(), true")
	b.await("the browser's button opens it again", opened+" === 'cherry'")

	keyWalk(t, b)
	require.Empty(t, b.complaints())
}

func TestPausedEventsWait(t *testing.T) {
	w := newWorld(t)
	b := open(t, w.ui.url)
	b.awaitText("#verdict", "etcd is healthy")
	w.put(t, service("first", "1", "a", nil))
	b.awaitText("#events", "first")
	eval[bool](b, "document.getElementById('pause').click(), true")
	w.put(t, service("second", "1", "a", nil))
	b.await("the list goes on", row("second"))
	require.False(t, eval[bool](b, "document.getElementById('events').textContent.includes('second')"))
	eval[bool](b, "document.getElementById('pause').click(), true")
	b.awaitText("#events", "second")
}

func TestANodeThatMovesToAnotherVersionIsOneChange(t *testing.T) {
	w := newWorld(t)
	w.put(t, service("greeter", "1.9.0", "a", nil))
	b := open(t, w.ui.url)
	b.await("the old version", row("greeter")+".textContent.includes('1.9.0')")
	w.put(t, service("greeter", "1.10.0", "a", nil))
	b.await("the new version", row("greeter")+".textContent.includes('1.10.0×1') && !"+row("greeter")+
		".textContent.includes('1.9.0')")
	b.awaitText("#events", "1.9.0 → 1.10.0")
}

func TestANodeThatIsDrainedIsShownApart(t *testing.T) {
	w := newWorld(t)
	w.put(t, service("greeter", "1", "a", nil))
	w.put(t, service("greeter", "1", "b", nil))
	b := open(t, w.ui.url)
	b.await("both", count("greeter")+" === 2")
	drain := func(command string, more ...string) {
		t.Helper()
		args := append([]string{command, "greeter", "a", "--yes", "-a", w.etcd.Endpoint()}, more...)
		out, err := exec.CommandContext(t.Context(), uiBinary, args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	drain("drain", "--reason", "heap\u202e <b>dump</b>")
	b.await("one less in the list", count("greeter")+" === 1 && "+row("greeter")+".querySelector('.flag').textContent"+
		" === '▲ 2 without a lease, 1 out of service'")
	b.awaitText("#events", "taken out")
	b.awaitText("#events", `heap\u{202e} <b>dump</b>`)
	eval[bool](b, row("greeter")+".querySelector('a').click(), true")
	b.awaitText("#tab-nodes", "Nodes 1 + 1 out of service")
	b.awaitText("#nodes tr.out", "not acknowledged by its process")
	b.awaitText("#nodes tr.out", `heap\u{202e} <b>dump</b>`)
	require.True(t, eval[bool](b, "/Out of service since .*, by .+@/.test(document.querySelector('#nodes tr.out').textContent)"))
	checkContrast(t, b)

	drain("undrain")
	b.await("it is back", "document.getElementById('tab-nodes').textContent === 'Nodes 2' && !document.querySelector('#nodes tr.out')")
	b.awaitText("#changes", "put back")
	require.Empty(t, b.complaints())
}
