package fake

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/internal/etcdfake"
)

var randomSeed = flag.Uint64("seed", 0, "the seed of random tests; 0 takes another one each time")

// asked is one etcd, and what it has answered so far. All it is told is of one script.
type asked struct {
	client *clientv3.Client
	random *rand.Rand // of the same seed for both
	first  int64      // its revision at the beginning
	last   int64
	said   []string
	watch  []clientv3.WatchChan
}

func newAsked(t *testing.T, client *clientv3.Client, seed uint64) *asked {
	t.Helper()
	a := &asked{client: client, random: rand.New(rand.NewPCG(seed, 0))}
	now, err := client.Get(t.Context(), "/k/", clientv3.WithPrefix())
	require.NoError(t, err)
	require.Empty(t, now.Kvs)
	a.first, a.last = now.Header.Revision, now.Header.Revision
	return a
}

// say notes an answer, with revisions counted from the first.
func (a *asked) say(what string, header *pb.ResponseHeader, err error, more ...any) {
	line := what + ":"
	if err != nil {
		a.said = append(a.said, line+" "+err.Error())
		return
	}
	a.last = header.Revision
	a.said = append(a.said, fmt.Sprint(line, " at ", a.from(header.Revision), " ", fmt.Sprint(more...)))
}

func (a *asked) from(revision int64) int64 {
	if revision == 0 {
		return 0
	}
	return revision - a.first
}

func (a *asked) show(kvs ...*mvccpb.KeyValue) string {
	var all []string
	for _, kv := range kvs {
		created := int64(0)
		if kv.CreateRevision != 0 {
			created = a.from(kv.CreateRevision)
		}
		all = append(all, fmt.Sprintf("%s=%q created %d modified %d version %d lease %d", kv.Key, kv.Value, created, a.from(
			kv.ModRevision,
		), kv.Version, kv.Lease))
	}
	return strings.Join(all, ", ")
}

func (a *asked) key() string   { return fmt.Sprint("/k/", a.random.IntN(4)) }
func (a *asked) value() string { return fmt.Sprint(a.random.IntN(3)) }

// lease is one of a few, which may not be there, or none.
func (a *asked) lease() clientv3.LeaseID {
	return clientv3.LeaseID(max(0, a.random.IntN(6)-2))
}

// revision is one around those there are.
func (a *asked) revision() int64 { return max(1, a.last+3-a.random.Int64N(12)) }

func (a *asked) opGet() clientv3.Op {
	var opts []clientv3.OpOption
	key := a.key()
	if a.random.IntN(2) == 0 {
		key = "/k/"
		opts = append(opts, clientv3.WithPrefix())
	}
	switch a.random.IntN(4) {
	case 0:
		opts = append(opts, clientv3.WithLimit(int64(1+a.random.IntN(3))))
	case 1:
		opts = append(opts, clientv3.WithCountOnly())
	case 2:
		opts = append(opts, clientv3.WithKeysOnly())
	}
	return clientv3.OpGet(key, opts...)
}

func (a *asked) opWrite(key string) clientv3.Op {
	if a.random.IntN(3) == 0 {
		return clientv3.OpDelete(key)
	}
	return clientv3.OpPut(key, a.value(), clientv3.WithLease(a.lease()))
}

func (a *asked) compare() clientv3.Cmp {
	operator := []string{"=", "!=", "<", ">"}[a.random.IntN(4)]
	key := a.key()
	switch a.random.IntN(6) {
	case 5:
		return clientv3.Compare(clientv3.ModRevision(key[:1]), operator, a.zeroOr(a.revision())).WithPrefix()
	case 0:
		return clientv3.Compare(clientv3.Value(key), operator, a.value())
	case 1:
		return clientv3.Compare(clientv3.Version(key), operator, a.random.IntN(3))
	case 2:
		return clientv3.Compare(clientv3.LeaseValue(key), operator, a.lease())
	case 3:
		return clientv3.Compare(clientv3.CreateRevision(key), operator, a.zeroOr(a.revision()))
	default:
		return clientv3.Compare(clientv3.ModRevision(key), operator, a.zeroOr(a.revision()))
	}
}

func (a *asked) zeroOr(revision int64) int64 {
	if a.random.IntN(2) == 0 {
		return 0
	}
	return revision
}

// txn is a transaction, perhaps with others within. Each writes another key, as etcd wants it.
func (a *asked) txn(key string, depth int) (guards []clientv3.Cmp, then, otherwise []clientv3.Op) {
	for range a.random.IntN(3) {
		guards = append(guards, a.compare())
	}
	then = []clientv3.Op{a.opGet(), a.opWrite(key), a.opGet()}
	otherwise = []clientv3.Op{a.opGet()}
	if depth > 0 {
		then = append(then, clientv3.OpTxn(a.txn("/k/0", depth-1)), a.opGet())
		otherwise = append(otherwise, clientv3.OpTxn(a.txn("/k/1", depth-1)))
	}
	return guards, then, otherwise
}

func (a *asked) showGet(r *pb.RangeResponse) string {
	return fmt.Sprint("[", a.show(r.Kvs...), "] of ", r.Count, " more ", r.More)
}

func (a *asked) showTxn(r *pb.TxnResponse) string {
	all := []string{fmt.Sprint(r.Succeeded)}
	for _, one := range r.Responses {
		switch one := one.Response.(type) {
		case *pb.ResponseOp_ResponseRange:
			all = append(all, a.showGet(one.ResponseRange))
		case *pb.ResponseOp_ResponseDeleteRange:
			all = append(all, fmt.Sprint("deleted ", one.ResponseDeleteRange.Deleted))
		case *pb.ResponseOp_ResponsePut:
			all = append(all, "put")
		case *pb.ResponseOp_ResponseTxn:
			all = append(all, "("+a.showTxn(one.ResponseTxn)+")")
		}
	}
	return strings.Join(all, "; ")
}

func sorted(keys [][]byte) string {
	slices.SortFunc(keys, bytes.Compare)
	return fmt.Sprintf("%q", keys)
}

// step asks for something.
func (a *asked) step(ctx context.Context) {
	leases := pb.NewLeaseClient(a.client.ActiveConnection())
	id := int64(1 + a.random.IntN(3))
	switch a.random.IntN(14) {
	case 0, 1:
		op := a.opGet()
		r, err := a.client.Do(ctx, op)
		if err != nil {
			a.say("get", nil, err)
			return
		}
		a.say("get", r.Get().Header, nil, a.showGet((*pb.RangeResponse)(r.Get())))
	case 2:
		r, err := a.client.Get(ctx, "/k/", clientv3.WithPrefix(), clientv3.WithRev(a.revision()))
		if err != nil {
			a.say("get before", nil, err)
			return
		}
		a.say("get before", r.Header, nil, a.showGet((*pb.RangeResponse)(r)))
	case 3, 4, 5:
		r, err := a.client.Do(ctx, a.opWrite(a.key()))
		switch {
		case err != nil:
			a.say("write", nil, err)
		case r.Put() != nil:
			a.say("put", r.Put().Header, nil)
		default:
			a.say("delete", r.Del().Header, nil, r.Del().Deleted)
		}
	case 6:
		r, err := a.client.Delete(ctx, "/k/", clientv3.WithPrefix())
		if err != nil {
			a.say("delete all", nil, err)
			return
		}
		a.say("delete all", r.Header, nil, r.Deleted)
	case 7, 8:
		guards, then, otherwise := a.txn("/k/2", a.random.IntN(2))
		r, err := a.client.Txn(ctx).If(guards...).Then(then...).Else(otherwise...).Commit()
		if err != nil {
			a.say("txn", nil, err)
			return
		}
		a.say("txn", r.Header, nil, a.showTxn((*pb.TxnResponse)(r)))
	case 9:
		r, err := leases.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: 1000})
		a.say("grant", r.GetHeader(), err, r.GetTTL())
	case 10:
		_, err := leases.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: id})
		a.say("revoke", &pb.ResponseHeader{Revision: a.last}, err) // only a revoke that deletes has a revision of its own
	case 11:
		r, err := leases.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: id, Keys: true})
		a.say("time to live", r.GetHeader(), err, r.GetGrantedTTL(), r.GetTTL() > 0, sorted(r.GetKeys()))
	case 12:
		r, err := a.client.KeepAliveOnce(ctx, clientv3.LeaseID(id))
		if err != nil {
			a.say("renew", nil, err)
			return
		}
		a.say("renew", r.ResponseHeader, nil, r.TTL)
	case 13:
		if a.random.IntN(3) == 0 && len(a.watch) == 0 { // or it is a race with those that haven't been served yet
			_, err := a.client.Compact(ctx, a.revision(), clientv3.WithCompactPhysical())
			a.say("compact", &pb.ResponseHeader{Revision: a.last}, err)
			return
		}
		a.watch = append(a.watch, a.client.Watch(ctx, "/k/", clientv3.WithPrefix(), clientv3.WithRev(a.revision())))
	}
}

// finish ends the script with an event that every watch gets, and notes what they all got.
func (a *asked) finish(t *testing.T, ctx context.Context) {
	t.Helper()
	for range 5 { // so that those from the future get it too
		_, err := a.client.Put(ctx, "/k/end", "", clientv3.WithLease(clientv3.NoLease))
		require.NoError(t, err)
	}
	_, err := a.client.Put(ctx, "/k/ended", "")
	require.NoError(t, err)
	for i, events := range a.watch {
		a.collect(fmt.Sprint("watch ", i), events)
	}
	_, err = a.client.Delete(ctx, "/k/", clientv3.WithPrefix())
	require.NoError(t, err)
	for id := clientv3.LeaseID(1); id <= 3; id++ {
		_, _ = a.client.Revoke(ctx, id)
	}
}

func (a *asked) collect(what string, events clientv3.WatchChan) {
	for response := range events {
		if err := response.Err(); err != nil {
			a.said = append(a.said, fmt.Sprint(what, ": ", err, " ", a.from(response.CompactRevision)))
			return
		}
		for _, e := range response.Events {
			a.said = append(a.said, fmt.Sprint(what, ": ", e.Type, " ", a.show(e.Kv)))
			if string(e.Kv.Key) == "/k/ended" {
				return
			}
		}
	}
	a.said = append(a.said, what+": ended")
}

// One random script has the same answers from a real etcd and from the fake, revisions counted from the beginning.
func TestTheFakeAnswersAsEtcdDoes(t *testing.T) {
	client := etcdtest.Start(t).Client(t)
	fake := etcdfake.NewServer(t).NewClient(t)
	seed := *randomSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("to repeat: -seed %d", seed)
	for run := range uint64(50) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		both := []*asked{newAsked(t, client, seed+run), newAsked(t, fake, seed+run)}
		for range 40 {
			for _, a := range both {
				a.step(ctx)
			}
		}
		for _, a := range both {
			a.finish(t, ctx)
		}
		cancel()
		require.Equal(t, both[0].said, both[1].said, "seed %d", seed+run)
	}
}
