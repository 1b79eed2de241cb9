package page

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

var (
	pictures = flag.String("pictures", "", "directory to keep the pictures in")

	uiBinary, greeterBinary string
	browser                 context.Context // one Chromium for all tests
)

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "micro-etcd-page-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	uiBinary, greeterBinary = filepath.Join(dir, "micro-etcd"), filepath.Join(dir, "greeter")
	for _, b := range [][]string{
		{"-C", "../../cmd/micro-etcd", "-o", uiBinary, "."},
		{"-C", "../..", "-o", greeterBinary, "./examples/greeter"},
	} {
		if out, err := exec.Command("go", append([]string{"build"}, b...)...).CombinedOutput(); err != nil {
			return 0, fmt.Errorf("build %v: %w\n%s", b, err, out)
		}
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, // the sandbox can't be had as root; everything it loads comes from here
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	defer stop()
	ctx, closeBrowser := chromedp.NewContext(allocator)
	defer closeBrowser()
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		return 0, fmt.Errorf("start Chromium: %w", err)
	}
	browser = ctx
	return m.Run(), nil
}
