package page

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// The demo, as somebody sees it who tries it first. With -pictures it is kept for the documents.
func TestTheDemoLivesAndIsPictured(t *testing.T) {
	p := start(t, uiBinary, "ui", "--demo", "--listen", "127.0.0.1:0")
	u := ui{process: p, url: p.line[:len(p.line)-1]}
	b := open(t, u.url)
	b.await("the fleet is there", "document.querySelectorAll('#rows tr:not(.spacer)').length === 9")
	b.awaitText("#events", "appeared")
	b.awaitText("#events", "gone")
	b.await(
		"a version is being rolled out",
		"[...document.querySelectorAll('#rows .bar')].some((bar) => bar.childElementCount > 1)",
	)
	if *pictures != "" {
		b.await(
			"there is something to see",
			"document.querySelectorAll('#events li').length > 30 && [...document.querySelectorAll('#rows .bar')].some((bar) => bar.childElementCount > 1)",
		)
	}

	b.picture(t, "page-light")
	b.scheme("dark")
	eval[bool](
		b,
		"((rows) => rows.find((r) => r.querySelectorAll('.bar span').length > 1) ?? rows.at(-1))([...document.querySelectorAll('#rows tr:not(.spacer)')]).querySelector('a').click(), true",
	)
	b.await("its nodes are there", "document.querySelectorAll('#nodes .ttl .gauge:not([hidden])').length > 0")
	eval[bool](b, "document.activeElement.blur(), true")
	b.picture(t, "page-dark")
	b.scheme("light")
	eval[bool](b, "document.getElementById('close').click(), document.activeElement.blur(), true")
	b.size(360, 740, true)
	b.await(
		"the phone's rows are there",
		"document.getElementById('show-events').checkVisibility() && document.querySelectorAll('#rows tr:not(.spacer)').length >= 5",
	)
	b.picture(t, "page-phone")
	require.Empty(t, b.complaints())

	p.end(syscall.SIGTERM)
	require.Zero(t, p.cmd.ProcessState.ExitCode(), "the demo ends well")
}

// picture takes one that isn't blank.
func (b *tab) picture(t *testing.T, name string) {
	t.Helper()
	data, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	require.NoError(t, err)
	image, err := png.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	colors := make(map[[3]uint32]bool)
	for x := range image.Bounds().Dx() {
		for y := 0; y < image.Bounds().Dy(); y += 8 {
			r, g, b, _ := image.At(x, y).RGBA()
			colors[[3]uint32{r, g, b}] = true
		}
	}
	require.Greater(t, len(colors), 30, "the picture is blank")
	if *pictures != "" {
		require.NoError(t, os.WriteFile(filepath.Join(*pictures, name+".png"), data, 0o644))
	}
}
