// Package harness runs a case against a registry: it opens the processes, records what watchers deliver, waits, and
// collects failures without failing a test.
package harness
