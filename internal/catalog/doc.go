// Package catalog is a registry's view of its services, without any I/O.
//
// A [Catalog] takes records as a store holds them, one node of one version in each, and folds them into services:
// within a service, nodes are unique by id, and of several records of one node that at the node's own key counts
// ([Record.HasOwnKey]), else the one with the highest revision; within a version, the record with the highest revision
// gives the fields that belong to the service as a whole. Every step reports what it changed as ordered [Change]
// values, which a consumer can fold over a [Snapshot] taken before to arrive at the one taken after.
//
// A Catalog is for one goroutine at a time. Snapshots, changes and records are immutable and may be shared freely.
package catalog
