package page

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
)

// Each of these would do something if it were taken for markup, for an address, or for more than it is.
var hostile = []string{
	`<script>window.hurt=1;alert(1)</script>`,
	`"><img src=x onerror="window.hurt=1;alert(1)">`,
	`'><svg onload=window.hurt=1>`,
	`</title></textarea></style><iframe srcdoc="<script>parent.hurt=1</script>">`,
	`javascript:window.hurt=1`,
	`{{constructor.constructor('window.hurt=1')()}}`,
	`${window.hurt=1}`,
	`<a href="javascript:window.hurt=1" id=rows>`,
	`<base href="https://evil.example/"><meta http-equiv=refresh content="0;url=https://evil.example/">`,
	"__proto__",
	"constructor",
	"%2e%2e%2f#/service/%",
}

func TestHostileNamesAndMetadataDoNoHarm(t *testing.T) {
	w := newWorld(t)
	b := open(t, w.ui.url)
	for i, text := range hostile {
		w.put(t, &registry.Service{
			Name: text, Version: text, Metadata: map[string]string{text: text},
			Nodes: []*registry.Node{{Id: "n" + text, Address: text, Metadata: map[string]string{text: text, "same": text}}},
			Endpoints: []*registry.Endpoint{{Name: text, Metadata: map[string]string{text: text}, Request: &registry.Value{
				Name: text, Type: text, Values: []*registry.Value{{Name: text + "x", Type: text}},
			}}},
		})
		w.putRaw(t, "junk/"+string(rune('a'+i)), text)
		w.putRaw(t, "junk/"+text, text)
	}
	for i, text := range hostile {
		b.await("shown literally: "+text, row(text)+".querySelector('a').textContent === "+quote(text))
		eval[bool](b, row(text)+".querySelector('a').click(), true")
		b.await("its title is literal", "document.getElementById('detail-title').textContent === "+quote(text))
		b.await("its metadata is literal", "[...document.querySelectorAll('#nodes .value')].some((v) => v.textContent === "+
			quote(text)+")")
		b.await("its endpoint is literal", "document.querySelector('#panel-endpoints h4').textContent === "+quote(text))
		b.await("its address is literal", "document.querySelector('#nodes .address').textContent === "+quote(text))
		if i == 0 {
			b.awaitText("#panel-endpoints pre", text+" {")
		}
	}
	eval[bool](b, row("junk")+".querySelector('a').click(), true")
	b.awaitText("#nodes", "Can't be read")
	for _, text := range hostile { // once more by search, and by address
		eval[bool](b, "((f) => { f.value = "+quote(text)+
			"; f.dispatchEvent(new Event('input')); return true })(document.getElementById('search'))")
		b.await("found: "+text, row(text))
	}
	harmless(t, b)
	again := open(t, w.ui.url+"#/service/"+url.PathEscape(hostile[1]))
	again.await("its title is literal", "document.getElementById('detail-title').textContent === "+quote(hostile[1]))
	harmless(t, again)
}

// harmless fails if anything of what the registry holds was more than text.
func harmless(t *testing.T, b *tab) {
	t.Helper()
	require.True(t, eval[bool](b, "window.hurt === undefined"), "a script ran")
	require.Equal(t, 1, eval[int](b, "document.scripts.length"))
	require.Equal(t, 1, eval[int](b, "document.images.length"))
	require.Zero(
		t,
		eval[int](
			b,
			"document.querySelectorAll('iframe, base, form, object, embed, svg [onload], [onerror], [onclick], a[href^=javascript]').length",
		),
	)
	require.Equal(t, 1, eval[int](b, "document.querySelectorAll('#rows').length"))
	require.True(t, eval[bool](b, "({}).hurt === undefined && Object.prototype.constructor === Object"))
	require.Empty(t, b.dialogs)
	require.Empty(t, b.complaints())
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, asked := range b.requests {
		require.True(
			t, strings.HasPrefix(asked, "http://127.0.0.1:") || strings.HasPrefix(asked, "about:"), "asked for %s", asked,
		)
	}
}

func TestWhatCantBeSeenIsMadeVisible(t *testing.T) {
	w := newWorld(t)
	b := open(t, w.ui.url)
	name := "admin\u202enimda\u0000\u001b[31m\u200b"
	w.put(t, service(name, "1\u2066", "a", map[string]string{"k\u202e": "v\r\n\t\u0007"}))
	b.await("bidi and control characters are written out", row(name)+
		`.querySelector('a').textContent === 'admin\\u{202e}nimda\\u{0}\\u{1b}[31m\\u{200b}'`)
	eval[bool](b, row(name)+".querySelector('a').click(), true")
	b.awaitText("#nodes", `v\u{d}\u{a}\u{9}\u{7}`)
	b.awaitText("#nodes", `k\u{202e}=`)
	require.Equal(
		t, -1, eval[int](b, `document.body.textContent.search(/[\u0000-\u0008\u000b-\u001f\u200b\u202e\u2066]/)`),
	)
	harmless(t, b)
}

func TestHugeValuesAreClipped(t *testing.T) {
	w := newWorld(t)
	b := open(t, w.ui.url)
	huge := strings.Repeat("<b>Ω ", 30_000)
	many := make(map[string]string)
	for i := range 3000 {
		many[strings.Repeat("k", i%100)+string(rune(0x4e00+i))] = strings.Repeat("v", i%300)
	}
	w.put(t, service("huge", huge[:60_000], "a", map[string]string{"m": huge}))
	w.put(t, service("many", "1", "a", many))
	w.put(t, service(huge[:120_000], "1", "a", nil))
	b.await("all are there", "document.querySelectorAll('#rows tr:not(.spacer)').length === 3")
	for _, name := range []string{"huge", "many"} {
		eval[bool](b, row(name)+".querySelector('a').click(), true")
		b.await("its metadata is there", "document.querySelector('#detail-title').textContent === '"+name+
			"' && document.querySelectorAll('#nodes .pair').length > 0")
		require.Less(t, eval[int](b, "document.documentElement.outerHTML.length"), 200_000)
		for _, width := range []int64{1440, 360} {
			b.size(width, 800, width < 400)
			b.await("nothing is wider than the window", "document.documentElement.scrollWidth <= innerWidth")
		}
		b.size(1440, 900, false)
	}
	harmless(t, b)
}

// The second wall: even if the page's code tried to, the browser wouldn't let it.
func TestTheBrowserRefusesToTurnTextIntoMarkup(t *testing.T) {
	w := newWorld(t)
	b := open(t, w.ui.url)
	b.awaitText("#verdict", "etcd is healthy")
	require.Empty(t, b.complaints())
	for _, attempt := range []string{
		"document.createElement('p').innerHTML = '<b>x</b>'",
		"document.body.insertAdjacentHTML('beforeend', '<b>x</b>')",
		"document.write('x')",
		"document.createElement('script').src = '/main.js'",
		"document.createElement('script').text = 'window.hurt = 1'",
	} {
		require.True(t, eval[bool](
			b, "(() => { try { "+attempt+"; return false } catch { return true } })()",
		), "Trusted Types let through: %s", attempt)
	}
}
