package federation

import (
	"testing"

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
