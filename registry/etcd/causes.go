package etcd

import (
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// This file is what the metrics tell apart. The names are part of what users see: docs/metrics.md
// explains each.

// leaseChange is what became of a lease.
type leaseChange int32

const (
	leaseGranted leaseChange = iota
	leaseRefused             // etcd doesn't renew it
	leaseLost                // etcd says that it is gone
	leaseRevoked             // by us
)

var leaseChanges = [...]string{
	leaseGranted: "granted", leaseRefused: "refused", leaseLost: "lost", leaseRevoked: "revoked",
}

// restoreCause is why we had to look whether a record is still there. They are sorted: of several
// the last one says most.
type restoreCause int32

const (
	restoreRepeated       restoreCause = iota // Register with another TTL was refused: back on a lease of the one before
	restoreWatchEnded                         // the watch of the key failed
	restoreOwnerLeft                          // the owner that we stood by for is gone
	restoreDeleted                            // somebody deleted the key
	restoreOverwritten                        // somebody put junk, or an old record of ours, there
	restoreHistoryChanged                     // etcd's data may be others than they were, or we slept
	restoreLeaseRefused                       // etcd didn't renew its lease
	restoreLeaseLost                          // its lease was gone
	restoreClientReplaced                     // Init has replaced the client
)

var restoreCauses = [...]string{
	restoreRepeated: "repeated", restoreWatchEnded: "watch_ended", restoreOwnerLeft: "owner_left",
	restoreDeleted: "key_deleted", restoreOverwritten: "key_overwritten", restoreHistoryChanged: "history_changed",
	restoreLeaseRefused: "lease_refused", restoreLeaseLost: "lease_lost", restoreClientReplaced: "client_replaced",
}

// listCause is why a view was read from etcd as a whole.
type listCause int32

const (
	listFirst listCause = iota
	listPeriodic
	listCompacted      // etcd has forgotten what the watch should have gone on from
	listWatchEnded     // for another reason
	listCountDiffers   // a probe found another number of keys
	listHistoryChanged // etcd's data may be others than they were, or we slept
	listClientReplaced // Init has replaced the client
)

var listCauses = [...]string{
	listFirst: "first", listPeriodic: "periodic", listCompacted: "compacted", listWatchEnded: "watch_ended",
	listCountDiffers: "count_differs", listHistoryChanged: "history_changed", listClientReplaced: "client_replaced",
}

func causeOf(err error) listCause {
	if errors.Is(err, rpctypes.ErrCompacted) {
		return listCompacted
	}
	return listWatchEnded
}

// eventType is etcd's own (api/v3 mvccpb, Event_EventType).
type eventType int32

var eventTypes = [...]string{"put", "delete"}

// origin says what a look-up was answered from.
type origin int32

const (
	fromView      origin = iota
	fromStaleView        // one that isn't kept up to date at the moment
	fromEtcd             // it had to wait for an answer
)

var originNames = [...]string{"local", "stale", "remote"}

// method is one of etcd's gRPC methods, as etcd names them.
type method int32

const (
	methodRange method = iota
	methodTxn
	methodLeaseGrant
	methodLeaseRevoke
	methodKeepAlive
	methodWatch
)

var methods = [...]string{
	"Range", "Txn", "LeaseGrant", "LeaseRevoke", "LeaseKeepAlive", "Watch",
}

// codeNames are gRPC's names of its codes (doc/statuscodes.md of gRPC), which Go spells differently.
var codeNames = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
	"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}
