// Package conformance holds registries to the kit in registry/registrytest on a real etcd: this module's own has to
// pass every case, and the official plugin (package official) is known to fail some, so that the kit is seen to bite.
// Go Micro's own harness runs over our registry as well.
package conformance
