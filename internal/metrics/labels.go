package metrics

// This file has the values of the labels that are counted. Users see them: docs/metrics.md explains each.

// LeaseChange is what became of a lease.
type LeaseChange int32

// The changes of a lease.
const (
	LeaseGranted LeaseChange = iota
	LeaseRefused             // etcd doesn't renew it
	LeaseLost                // etcd says that it is gone
	LeaseRevoked             // by us
)

var leaseChanges = [...]string{
	LeaseGranted: "granted", LeaseRefused: "refused", LeaseLost: "lost", LeaseRevoked: "revoked",
}

// RestoreCause is why we had to look whether a record is still there. They are sorted: of several the last one says
// most.
type RestoreCause int32

// The causes of a restore.
const (
	RestoreRepeated       RestoreCause = iota // Register with another TTL was refused: back on a lease of the one before
	RestoreWatchEnded                         // the watch of the key failed
	RestoreOwnerLeft                          // the owner that we stood by for is gone
	RestoreDeleted                            // somebody deleted the key
	RestoreOverwritten                        // somebody put junk, or an old record of ours, there
	RestoreHistoryChanged                     // etcd's data may be others than they were, or we slept
	RestoreLeaseRefused                       // etcd didn't renew its lease
	RestoreLeaseLost                          // its lease was gone
	RestoreClientReplaced                     // Init has replaced the client
)

// RestoreCauses are the labels of the causes.
var RestoreCauses = [...]string{
	RestoreRepeated: "repeated", RestoreWatchEnded: "watch_ended", RestoreOwnerLeft: "owner_left",
	RestoreDeleted: "key_deleted", RestoreOverwritten: "key_overwritten", RestoreHistoryChanged: "history_changed",
	RestoreLeaseRefused: "lease_refused", RestoreLeaseLost: "lease_lost", RestoreClientReplaced: "client_replaced",
}

// ListCause is why a view was read from etcd as a whole.
type ListCause int32

// The causes of a list.
const (
	ListFirst ListCause = iota
	ListPeriodic
	ListCompacted      // etcd has forgotten what the watch should have gone on from
	ListWatchEnded     // for another reason
	ListCountDiffers   // a probe found another number of keys
	ListHistoryChanged // etcd's data may be others than they were, or we slept
	ListClientReplaced // Init has replaced the client
)

// ListCauses are the labels of the causes.
var ListCauses = [...]string{
	ListFirst: "first", ListPeriodic: "periodic", ListCompacted: "compacted", ListWatchEnded: "watch_ended",
	ListCountDiffers: "count_differs", ListHistoryChanged: "history_changed", ListClientReplaced: "client_replaced",
}

// EventType is etcd's own (api/v3 mvccpb, Event_EventType).
type EventType int32

var eventTypes = [...]string{"put", "delete"}

// Source says what a lookup was answered from.
type Source int32

// The sources of a lookup.
const (
	SourceLocal  Source = iota
	SourceStale         // one that isn't kept up to date at the moment
	SourceRemote        // it had to wait for an answer
	SourceCached        // a file, because etcd hasn't answered yet
)

var sourceNames = [...]string{"local", "stale", "remote", "cached"}

// Method is one of etcd's gRPC methods, as etcd names them.
type Method int32

// The methods that a registry uses.
const (
	MethodRange Method = iota
	MethodTxn
	MethodLeaseGrant
	MethodLeaseRevoke
	MethodKeepAlive
	MethodWatch
)

var methods = [...]string{
	"Range", "Txn", "LeaseGrant", "LeaseRevoke", "LeaseKeepAlive", "Watch",
}

// CodeNames are gRPC's names of its codes (doc/statuscodes.md of gRPC), which Go spells differently.
var CodeNames = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
	"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}
