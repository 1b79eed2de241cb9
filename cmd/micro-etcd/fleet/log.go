package fleet

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// AdvanceLog adds an entry to the log of the member that the client is connected to, which changes nothing: etcd never
// takes Else when there is nothing to compare. It is in the log even if the user may not write, because permissions are
// checked when an entry is applied (server/v3 etcdserver/apply/apply_auth.go, Txn), and even if there is no space left,
// because deleting needs none (server/v3 storage/quota.go, costTxn).
func (s Source) AdvanceLog(ctx context.Context) {
	never := clientv3.OpDelete(s.Dir() + "micro-etcd")
	_, _ = s.Client.Txn(clientv3.WithRequireLeader(ctx)).Else(never).Commit() // whether it did is seen in the log
}
