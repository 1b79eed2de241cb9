package doctor

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// putOut puts the notice of a node of greeter.
func putOut(tb testing.TB, c *clientv3.Client, id string, n catalog.Notice, opts ...clientv3.OpOption) {
	tb.Helper()
	n.Record = fmt.Appendf(nil, `{"name":"greeter","version":"1","nodes":[{"id":%q,"address":"10.0.0.1:%s"}]}`, id, id)
	value, err := catalog.EncodeNotice(n)
	require.NoError(tb, err)
	put(tb, c, "greeter/.out-of-service/"+id, string(value), opts...)
}

func TestNodesOutOfServiceAreTold(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	leased := lease(t, c, 60)
	put(t, c, "greeter/80", node("greeter", "80", "10.0.0.1:80"), leased)
	ago := time.Now().UTC().Add(-time.Hour).Truncate(time.Second)
	end := ago.Add(24 * time.Hour)
	putOut(t, c, "81", catalog.Notice{
		Reason: "heap dump", By: "alice@ops", Since: ago, Until: end, Acknowledged: ago.Add(time.Second),
	}, leased)
	report := examine(t, Target{Addresses: srv.Endpoints()})
	require.Len(t, report.Findings, 1)
	f := report.only(
		t, "out-of-service", Info, "Node 81 of service greeter is out of service since "+ago.Format(time.RFC3339)+
			", by alice@ops, until "+end.Format(time.RFC3339)+": heap dump.",
	)
	require.Equal(t, []string{prefix + "greeter/.out-of-service/81"}, f.Subjects)
	require.Equal(t, []int{1, 1}, []int{report.Records, report.Out})

	putOut(t, c, "81", catalog.Notice{Reason: "tcp: refused", Since: ago}, leased)
	report = examine(t, Target{Addresses: srv.Endpoints(), Service: "greeter"})
	require.Len(t, report.Findings, 1)
	report.only(t, "out-of-service", Info, "by its own health checks: tcp: refused.")

	for i := range maxEach + 2 {
		putOut(t, c, fmt.Sprint(100+i), catalog.Notice{By: "alice@ops", Since: ago, Acknowledged: ago}, leased)
	}
	report = examine(t, Target{Addresses: srv.Endpoints()})
	require.Len(t, report.Findings, maxEach+1)
	require.Contains(t, report.Findings[maxEach].What, "3 more nodes are out of service: ")
}

func TestADrainThatNobodyAcknowledgesOrThatHasNoLeaseIsAWarning(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	leased := lease(t, c, 60)
	ago := time.Now().Add(-time.Minute)
	putOut(t, c, "80", catalog.Notice{By: "alice@ops", Since: time.Now().Add(time.Hour)}, leased) // there is time
	putOut(t, c, "81", catalog.Notice{By: "alice@ops", Since: ago}, leased)
	putOut(t, c, "82", catalog.Notice{By: "alice@ops", Since: ago, Until: ago}, leased)
	putOut(t, c, "83", catalog.Notice{By: "alice@ops", Since: ago})
	for id, until := range map[string]time.Time{"84": time.Now().Add(-time.Hour), "85": time.Now()} {
		putOut(t, c, id, catalog.Notice{By: "alice@ops", Since: ago, Acknowledged: ago, Until: until}, leased)
	}
	report := examine(t, Target{Addresses: srv.Endpoints()})
	f := report.only(
		t, "unacknowledged-drain", Warning, "2 drains aren't acknowledged", "nobody will end 1 of them", ": 81, 82.",
	)
	require.Len(t, f.Subjects, 2)
	f = report.only(t, "endless-drain", Warning, "1 notice has no lease")
	require.Equal(t, []string{prefix + "greeter/.out-of-service/83"}, f.Subjects)
	report.only(t, "overdue-drain", Warning, "1 drain is over", "greeter/.out-of-service/84.")
	require.Len(t, report.found("out-of-service"), 6)
	require.Empty(t, report.found("no-lease"))
	require.Empty(t, report.found("malformed"))
}

func TestANoticeBesideARecordIsStale(t *testing.T) {
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	leased := lease(t, c, 60)
	put(t, c, "greeter/80", node("greeter", "80", "10.0.0.1:80"), leased)
	putOut(t, c, "80", catalog.Notice{By: "alice@ops"}, leased)
	report := examine(t, Target{Addresses: srv.Endpoints()})
	require.Len(t, report.Findings, 1)
	report.only(t, "stale-notice", Info, "1 notice is of a node that is in service")
	require.Zero(t, report.Out)
}
