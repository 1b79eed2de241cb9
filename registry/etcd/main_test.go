package etcd

import (
	"flag"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// ofImports are the goroutines that importing go-micro starts, and that of its memory registry, which can't be closed.
var ofImports = []goleak.Option{
	goleak.IgnoreAnyFunction("go-micro.dev/v4/registry.(*memRegistry).ttlPrune"),
	goleak.IgnoreTopFunction("github.com/patrickmn/go-cache.(*janitor).Run"),
	goleak.IgnoreAnyFunction("go-micro.dev/v4/config.(*config).run"),
	goleak.IgnoreAnyFunction("go-micro.dev/v4/config.(*config).run.func2"),
	goleak.IgnoreAnyFunction("go-micro.dev/v4/config/loader/memory.(*memory).Watch.func1"),
}

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, ofImports...)
}

var randomSeed = flag.Uint64("seed", 0, "the seed of random tests; 0 takes another one each time")

// What the documentation says of views.
const (
	viewIdleTime  = 10 * time.Minute // that a view is kept which nobody watches
	viewSweepTime = time.Minute      // at the end of which idle ones go
	viewShownTime = time.Minute      // that what lookups have shown is told a watcher
	maxViews      = 1000             // that nobody watches
)
