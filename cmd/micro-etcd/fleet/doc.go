// Package fleet reads what go-micro's etcd registries have put into etcd, with all that etcd knows of it beside the
// records themselves: revisions, leases, sizes, and values that are no records.
//
// [Source.Read] takes one picture, [Source.Follow] goes on from there, and [Source.Leases] asks for leases.
// [Fleet.Services] is what of a picture consumers see.
package fleet
