// Package registrytest is a conformance kit for Go Micro registries: what a [registry.Registry] owes its callers, as a
// list of cases, each of which proves one rule and prints that rule when it fails.
//
// A test of a registry describes how to open it and calls [Run]:
//
//	func TestConformance(t *testing.T) {
//		store := startStore(t)
//		registrytest.Run(t, registrytest.Backend{
//			Open: func(opts ...registry.Option) (registry.Registry, error) {
//				return mine.New(append([]registry.Option{registry.Addrs(store.Addr())}, opts...)...)
//			},
//			Lacks: map[registrytest.Capability]string{
//				registrytest.Ordered: "results come in map order",
//			},
//		})
//	}
//
// # What is judged
//
// A case without needs is Go Micro's own contract, written or observed in the code that consumes registries: every
// registry has to pass it. A case with needs is a stricter promise. A registry is taken to make every promise; what it
// does not promise it lists in [Backend.Lacks] together with the reason, and the cases concerned are skipped with that
// reason. Cases that need a hand on the store, such as deleting a record behind its owner's back, need a hook of the
// [Backend] and are skipped without it.
//
// A drained node stays registered: Register returns nil and leaves it out of service, and Deregister removes it for
// good. See [Backend.Drain].
//
// # What is not judged
//
// Speed, the format of what is stored, and faults inside the store. The kit sees a registry only through its interface
// and the hooks.
//
// # Failing without failing
//
// [Check] reports what [Run] would fail on. With it a test can hold a list of known failures against a registry that it
// does not own:
//
//	report := registrytest.Check(ctx, backend)
//	require.Equal(t, known, report.Failed())
//
// A call that never returns and a panic in a goroutine of the kit are failures of the case at hand; the other cases
// still run. A panic in a goroutine of the registry under test cannot be caught by anybody, and neither can a data race
// be charged to a case: the race detector fails the test that runs. [Backend.Lacks] is the way round both.
//
// All cases share one store. Each uses names that no other case and no other run uses, so the store need not be empty,
// and nothing has to be cleaned between runs.
package registrytest
