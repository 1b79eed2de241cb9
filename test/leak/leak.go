// Package leak tells goleak which goroutines are not the tested code's: those that Go Micro, and etcd when it is
// embedded, leave behind in every program.
package leak

import (
	"testing"

	"go.uber.org/goleak"
)

// Verify runs the tests and fails if they leave goroutines behind that are neither known nor among the exceptions. It
// is called by TestMain and exits the program.
func Verify(m *testing.M, exceptions ...goleak.Option) {
	goleak.VerifyTestMain(m, append(Known(), exceptions...)...)
}

// Known are the goroutines that are there already, and those to be expected.
func Known() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreCurrent(),
		// Go Micro's packages start these when they are imported, or a moment later, and its client for a cache.
		goleak.IgnoreAnyFunction("go-micro.dev/v4/config.(*config).run"),
		goleak.IgnoreAnyFunction("go-micro.dev/v4/config.(*config).run.func2"),
		goleak.IgnoreAnyFunction("go-micro.dev/v4/config/loader/memory.(*memory).Watch.func1"),
		goleak.IgnoreTopFunction("github.com/patrickmn/go-cache.(*janitor).Run"),
		// The members of an embedded etcd keep a connection for five seconds after their end.
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreAnyFunction("net/http.(*connReader).backgroundRead"),
		goleak.IgnoreAnyFunction("net/http.(*conn).serve"),
	}
}
