package page

import (
	"encoding/json"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// contrast is a script that returns every visible text whose contrast with what is behind it is lower than WCAG 2.2 AA
// asks for.
const contrast = `(() => {
	const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
	const rgba = (color) => {
		context.clearRect(0, 0, 1, 1);
		context.fillStyle = color;
		context.fillRect(0, 0, 1, 1);
		const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
		return [r, g, b, a / 255];
	};
	const over = (top, below) => top.slice(0, 3).map((c, i) => c * top[3] + below[i] * (1 - top[3])).concat(1);
	const behind = (element) => {
		const layers = [];
		for (let e = element; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
		return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
	};
	const light = ([r, g, b]) => {
		const [x, y, z] = [r, g, b].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
		return 0.2126 * x + 0.7152 * y + 0.0722 * z;
	};
	const faint = new Set();
	let seen = 0;
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let node = walk.nextNode(); node; node = walk.nextNode()) {
		const element = node.parentElement;
		if (!node.data.trim() || element.closest('.hidden, .skip, noscript')) continue;
		if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
		seen++;
		const style = getComputedStyle(element);
		const back = behind(element);
		const [a, b] = [light(over(rgba(style.color), back)), light(back)].sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
		if (ratio < (large ? 3 : 4.5))
			faint.add(element.className + ' ' + node.data.trim().slice(0, 40) + ' ' + ratio.toFixed(2));
	}
	if (seen < 20) faint.add('only ' + seen + ' texts were seen');
	return [...faint];
})()`

func checkContrast(t *testing.T, b *tab) {
	t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		b.await("the scheme is "+scheme, "matchMedia('(prefers-color-scheme: "+scheme+")').matches")
		require.Empty(t, eval[[]string](b, contrast), scheme)
	}
	b.scheme("light")
}

func TestTextsCanBeReadInLightAndDark(t *testing.T) {
	w := newWorld(t)
	fruits(t, w)
	w.put(t, service("no-lease", "", "a", nil))
	w.putRaw(t, "broken/x", "junk")
	b := open(t, w.ui.url)
	b.await("all are there", "document.querySelectorAll('#rows tr:not(.spacer)').length === 6")
	w.put(t, service("apple", "2.0.0", "node-apple", nil))
	w.put(t, service("event", "1", "a", nil))
	b.awaitText("#events", "→")
	checkContrast(t, b)
	for _, name := range []string{"banana", "broken", "no-lease"} {
		eval[bool](b, row(name)+".querySelector('a').click(), true")
		b.await("its nodes are there", "document.querySelector('#detail-title').textContent === '"+name+
			"' && document.querySelectorAll('#nodes tr').length > 0")
		checkContrast(t, b)
	}
	b.size(360, 740, true)
	checkContrast(t, b)
}

// What a screen reader is told.
func TestEverythingHasANameAndAPlace(t *testing.T) {
	w := newWorld(t)
	fruits(t, w)
	b := open(t, w.ui.url+"#/service/banana")
	b.await("the nodes are there", "document.querySelectorAll('#nodes tr').length === 2")
	for _, size := range []int64{1720, 360} {
		b.size(size, 900, size < 400)
		roles := make(map[string]int)
		for _, n := range call(b, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes {
			if n.Ignored || n.Role == nil {
				continue
			}
			role, name := text(n.Role), text(n.Name)
			roles[role]++
			switch role {
			case "button", "link", "searchbox", "textbox", "tab", "tabpanel", "table",
				"region", "columnheader", "rowheader", "image", "heading", "tablist":
				require.NotEmpty(t, name, "a %s without a name at width %d", role, size)
			}
		}
		if size > 900 { // on a phone an opened service has the window to itself
			require.NotZero(t, roles["search"])
		}
		for _, role := range []string{
			"banner", "main", "region", "table", "row", "rowheader", "heading", "status", "alert", "tab", "tabpanel",
		} {
			require.NotZero(t, roles[role], "no %s at width %d: %v", role, size, roles)
		}
	}
	require.Equal(t, "en", eval[string](b, "document.documentElement.lang"))
	require.Equal(t, "5", eval[string](b, "document.querySelector('.services table').getAttribute('aria-rowcount')"))
	require.Empty(t, eval[[]string](
		b, "[...document.querySelectorAll('[id]')].map((e) => e.id).filter((id, i, all) => all.indexOf(id) !== i)",
	), "ids that aren't unique")
}

func text(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	var s string
	_ = json.Unmarshal(v.Value, &s) // what is no text has no text
	return s
}

// keyWalk presses Tab through the page: the focus must be visible wherever it is, and get everywhere.
func keyWalk(t *testing.T, b *tab) {
	t.Helper()
	eval[bool](b, "document.activeElement.blur(), true")
	reached := make(map[string]bool)
	for range 40 {
		b.press(kb.Tab)
		where := eval[string](b, "(document.activeElement.id || document.activeElement.closest('[id]')?.id) ?? ''")
		reached[where] = true
		require.True(t, eval[bool](b, `(() => {
			const e = document.activeElement;
			if (e === document.body) return true;
			return [e, e.closest('tr')].some((x) => x &&
				getComputedStyle(x).outlineStyle !== 'none' && parseFloat(getComputedStyle(x).outlineWidth) >= 2);
		})()`), "the focus can't be seen at %q", where)
	}
	for _, id := range []string{"skip", "search", "list", "rows", "close", "tab-nodes", "find"} {
		require.True(t, reached[id], "the keyboard doesn't get to %s, only to %v", id, reached)
	}
}

func TestItFitsAPhone(t *testing.T) {
	w := newWorld(t)
	fruits(t, w)
	w.put(
		t,
		service(
			"a-service-with-quite-a-long-name.that.has.no.place.to.break", "2026.11.25-rc.1+build.77",
			"some-node-with-a-long-id-0123456789-0123456789",
			map[string]string{"a-long-name-of-a-value": "https://a.long.address.example/with/a/path/and/more"},
		),
	)
	w.putRaw(t, "broken/x", "junk")
	b := open(t, w.ui.url)
	fits := func(where string) {
		t.Helper()
		b.await(
			where+" fits",
			"document.documentElement.scrollWidth <= innerWidth && innerWidth <= 360 && [...document.querySelectorAll('.scroll')].every((s) => s.scrollWidth <= s.clientWidth)",
		)
	}
	b.size(360, 640, true)
	b.await("all are there", "document.querySelectorAll('#rows tr:not(.spacer)').length === 6")
	fits("the list")
	eval[bool](b, "document.getElementById('show-events').click(), true")
	b.await(
		"the events are shown instead",
		"document.getElementById('events').checkVisibility() && !document.getElementById('list').checkVisibility()",
	)
	fits("the events")
	eval[bool](b, "document.getElementById('show-services').click(), true")
	for _, name := range []string{"a-service-with-quite-a-long-name.that.has.no.place.to.break", "broken"} {
		eval[bool](b, row(name)+".querySelector('a').click(), true")
		b.await("it is open", "document.querySelectorAll('#nodes tr').length === 1")
		fits(name)
		eval[bool](b, "document.getElementById('close').click(), true")
	}
	require.Empty(t, b.complaints())
}
