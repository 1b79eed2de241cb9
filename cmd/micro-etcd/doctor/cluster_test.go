package doctor

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// cluster is a snapshot of members that answer; real ones can't be made to lag or to be old here.
func cluster(statuses ...pb.StatusResponse) *snapshot {
	s := &snapshot{}
	for i := range statuses {
		id := uint64(i + 1)
		status := clientv3.StatusResponse(statuses[i])
		address := "http://etcd-" + string(rune('0'+i+1)) + ":2379"
		s.addresses = append(s.addresses, address)
		s.memberList = append(
			s.memberList, &pb.Member{ID: id, Name: "m" + string(rune('0'+i+1)), ClientURLs: []string{address}},
		)
		s.members = append(s.members, member{address: address, id: id, cluster: 7, status: &status})
	}
	return s
}

func TestMembersThatAreBehindAreTold(t *testing.T) {
	s := cluster(
		pb.StatusResponse{RaftIndex: 5000, RaftAppliedIndex: 5000, Leader: 1},
		pb.StatusResponse{RaftIndex: 3000, RaftAppliedIndex: 3000, Leader: 1},
		pb.StatusResponse{RaftIndex: 5000, RaftAppliedIndex: 3500, Leader: 1},
		pb.StatusResponse{RaftIndex: 4500, RaftAppliedIndex: 4501, Leader: 1},
	)
	found := lag(s)
	require.Len(t, found, 2)
	require.Contains(t, found[0].What, "m2 (http://etcd-2:2379) is behind: 2000 entries")
	require.Contains(t, found[1].What, "1500 aren't applied")
}

func TestOldAndMixedVersionsAreTold(t *testing.T) {
	for version, old := range map[string]bool{
		"3.4.40": true, "2.3.0": true, "3.5.32": true, "3.5.33": false, "3.6.13": true, "3.6.14": false, "3.7.0": true,
		"3.7.1": false, "3.8.0": false, "4.0.0": false, "?": false,
	} {
		s := cluster(pb.StatusResponse{Version: version})
		require.Equal(t, old, len(oldVersions(s)) == 1, version)
		require.Empty(t, mixedVersions(s))
	}
	require.Len(t, mixedVersions(cluster(pb.StatusResponse{Version: "3.6.16"}, pb.StatusResponse{Version: "3.7.3"})), 1)
}

func TestADatabaseNearItsQuotaIsTold(t *testing.T) {
	for size, want := range map[int64]string{790: "", 800: "warning", 949: "warning", 950: "critical"} {
		found := space(cluster(pb.StatusResponse{DbSize: size << 20, DbSizeQuota: 1000 << 20}))
		if want == "" {
			require.Empty(t, found)
			continue
		}
		require.Equal(t, want, found[0].Severity.String(), size)
	}
	found := space(cluster(pb.StatusResponse{DbSize: 2 << 30}))
	require.Contains(t, found[0].What, "100% of etcd's default quota")
}

func TestLearnersAlarmsAndLeadersAreTold(t *testing.T) {
	s := cluster(pb.StatusResponse{
		Leader: 1, IsLearner: true, Errors: []string{"memberID:9 alarm:CORRUPT "},
	}, pb.StatusResponse{Leader: 2})
	require.Equal(t, Warning, learners(s)[0].Severity)
	s.addresses = s.addresses[1:]
	require.Equal(t, Info, learners(s)[0].Severity)
	require.Contains(t, alarms(s)[0].What, "CORRUPT")
	require.Contains(t, missingLeaders(s)[0].What, "2 different leaders")
}

func TestClocksAreComparedByTheDateOfAnHTTPAnswer(t *testing.T) {
	for ahead, want := range map[time.Duration]string{
		0: "", time.Second: "", -time.Second: "", time.Minute: "ahead of", -time.Minute: "behind",
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/version" {
				http.NotFound(w, r)
			}
			w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		}))
		s := cluster(pb.StatusResponse{})
		var err error
		s.members[0].skew, err = (&Target{}).skew(t.Context(), srv.URL)
		srv.Close()
		require.NoError(t, err)
		found := clocks(s)
		require.Equal(t, want != "", len(found) == 1, "%s: %+v", ahead, found)
		if want != "" {
			require.Contains(t, found[0].What, want)
		}
	}
	s := cluster(pb.StatusResponse{})
	_, s.members[0].clockErr = (&Target{}).skew(t.Context(), "http://127.0.0.1:1")
	require.Contains(t, clocks(s)[0].What, "can't be compared")
}

func TestApartLeavesOpenWhatASecondDoes(t *testing.T) {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	require.Zero(t, apart(noon, noon.Add(999*time.Millisecond), noon.Add(1100*time.Millisecond)))
	require.Zero(t, apart(noon.Add(time.Second), noon, noon.Add(time.Second)))
	require.Equal(t, 3*time.Second, apart(noon.Add(4*time.Second), noon, noon.Add(time.Second)))
	require.Equal(t, -3*time.Second, apart(noon, noon.Add(4*time.Second), noon.Add(5*time.Second)))
}
