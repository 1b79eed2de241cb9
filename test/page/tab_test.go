package page

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// patience is how long something may take to show. It is a bound for a busy machine, not an expectation.
const patience = 45 * time.Second

// tab is a browser's tab.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	console  []chromedp.ConsoleMessage
	dialogs  []string
	requests []string // URLs
}

// open opens a page in a tab of its own, which is closed when the test ends.
func open(t *testing.T, url string) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(closeTab)
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx}
	b.do(chromedp.Navigate("about:blank"))
	console := chromedp.Console(ctx)
	go func() {
		for message, err := range console {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.console = append(b.console, message)
			b.mu.Unlock()
		}
	}()
	require.NoError(t, chromedp.Listen(ctx, b.listen))
	call(b, network.Enable, network.EnableParams{})
	call(b, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	b.size(1440, 900, false)
	b.scheme("light")
	b.do(chromedp.Navigate(url))
	return b
}

func (b *tab) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *page.EventJavascriptDialogOpening:
		b.dialogs = append(b.dialogs, e.Message)
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, steps...))
}

// press types keys: text, or those of package kb.
func (b *tab) press(keys string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(keys))
}

// slash is pressed as a keyboard does it: the page may keep it from being typed, which press doesn't heed.
func (b *tab) slash() {
	b.t.Helper()
	for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
		down := input.DispatchKeyEventParams{Type: kind, Key: "/", Code: "Slash"}
		if kind == input.DispatchKeyEventTypeKeyDown {
			down.Text = "/"
		}
		call(b, input.DispatchKeyEvent, down)
	}
}

// await waits until a JavaScript expression is true, of this page or of one that comes in its place meanwhile.
func (b *tab) await(what, expression string) {
	b.t.Helper()
	script := fmt.Sprintf(`new Promise((resolve) => {
		const end = performance.now() + %d;
		const look = () => {
			let is = false;
			try { is = Boolean(%s); } catch {}
			if (is || performance.now() > end) resolve(is ? '' : document.body.innerText);
			else setTimeout(look, 20);
		};
		look();
	})`, patience.Milliseconds(), expression)
	look := func() (string, error) {
		return chromedp.Run(b.ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	}
	shown, err := look()
	for err != nil && strings.Contains(err.Error(), "Inspected target navigated") {
		shown, err = look()
	}
	require.NoError(b.t, err, what)
	require.Empty(b.t, shown, "not within %v: %s", patience, what)
}

// awaitText waits until an element's text contains another one.
func (b *tab) awaitText(selector, text string) {
	b.t.Helper()
	b.await(
		selector+" says "+text, fmt.Sprintf("document.querySelector(%q).textContent.includes(%s)", selector, quote(text)),
	)
}

// quote returns a JavaScript string.
func quote(text string) string {
	var q strings.Builder
	for _, r := range text {
		if r < 0x80 && r >= 0x20 && r != '"' && r != '\\' {
			q.WriteRune(r)
			continue
		}
		q.WriteString(`\u{` + strconv.FormatInt(int64(r), 16) + "}")
	}
	return `"` + q.String() + `"`
}

func (b *tab) size(width, height int64, phone bool) {
	b.t.Helper()
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: height, DeviceScaleFactor: 1, Mobile: phone,
	})
}

func (b *tab) scheme(scheme string) {
	b.t.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
}

// row is the expression of a service's row.
func row(service string) string {
	return fmt.Sprintf("[...document.querySelectorAll('#rows tr')].find((r) => r.dataset.name === %s)", quote(service))
}

// count is the expression of the number of nodes in a service's row.
func count(service string) string {
	return "parseInt(" + row(service) + ".querySelector('.c-nodes').textContent)"
}

// complaints returns exceptions, and what the browser said of the page's security.
func (b *tab) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for _, m := range b.console {
		if m.Source != "network" { // a lost connection is one
			all = append(all, m.String())
		}
	}
	return all
}
