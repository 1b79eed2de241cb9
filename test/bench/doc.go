// Command bench measures this module's registry, its peers and the bare etcd client at the same work: one etcd, the
// same records, one run, and turns about, so that ratios mean something on a noisy machine.
//
//	bench -out docs        measures everything and writes benchmarks.md and its plots
//	bench -quick           does every row once with little data, to see that it runs
//	bench -rows 'select'   measures the rows that match, and prints them
//	bench -render FILE     writes the documents again from what a run has saved
//
// etcd runs in a process of its own, so that its memory and its garbage collector are not ours.
package main
