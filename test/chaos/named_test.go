package chaos

import (
	"os"
	"slices"
	"testing"

	"github.com/micro-etcd/micro-etcd/test/relay"
)

// scenarios are the named ones, the longest first. They run side by side.
var scenarios = []struct {
	name string
	run  func(*testing.T)
}{
	{"OutageOfThreeMinutes", outageOfThreeMinutes},
	{"WipedThenOvertaken", wipedThenOvertaken},
	{"Wiped", wiped},
	{"WipedWithThreeMembers", wipedWithThreeMembers},
	{"RestoredPlain", restoredPlain},
	{"RestoredBumped", restoredBumped},
	{"CompactedWhileAway", compactedWhileAway},
	{"MembersReplaced", membersReplaced},
	{"AuthSwitchedOnAndOff", authSwitchedOnAndOff},
	{"MembersKilledInTurn", membersKilledInTurn},
	{"LeaderPaused", leaderPaused},
	{"LeaderPausedPastTheTTL", leaderPausedPastTheTTL},
	{"BlackHoleToServer", func(t *testing.T) { blackHole(t, relay.ToServer) }},
	{"BlackHoleToClient", func(t *testing.T) { blackHole(t, relay.ToClient) }},
	{"BlackHoleBothWays", func(t *testing.T) { blackHole(t, relay.ToServer, relay.ToClient) }},
	{"StaleMember", staleMember},
	{"StaleMemberAlone", staleMemberAlone},
	{"LeaderIsolated", leaderIsolated},
	{"KeepaliveUnanswered", keepaliveUnanswered},
	{"OutageOfTwiceTheTTL", outageOfTwiceTheTTL},
	{"ServiceStartsBeforeEtcd", serviceStartsBeforeEtcd},
	{"ConsumersStartWhileEtcdIsAway", consumersStartWhileEtcdIsAway},
	{"ServicesStopWhileEtcdIsAway", servicesStopWhileEtcdIsAway},
	{"ServicesStopWithASilentMember", servicesStopWithASilentMember},
	{"ServicesStopWhileTheyStart", servicesStopWhileTheyStart},
	{"ServicePaused", servicePaused},
	{"ServiceKilled", serviceKilled},
	{"ServiceCutOff", serviceCutOff},
	{"ConnectionsReset", connectionsReset},
	{"MassExpiry", massExpiry},
	{"FleetReconnects", fleetReconnects},
	{"Drained", drained},
	{"NoSpace", noSpace},
	{"AuthTokenExpired", authTokenExpired},
	{"PasswordChanged", passwordChanged},
	{"TakenOverThenKilled", takenOverThenKilled},
	{"TakenOverWhileStopped", takenOverWhileStopped},
	{"LateDeregister", lateDeregister},
	{"KeyDeleted", keyDeleted},
	{"EverythingDeleted", everythingDeleted},
	{"Junk", junk},
	{"LeaseRevoked", leaseRevoked},
	{"LeaseExpired", leaseExpired},
}

// modeVariable, when set, makes the named scenarios and the random ones run.
const modeVariable = "CHAOS"

func requireMode(t *testing.T) {
	t.Helper()
	if os.Getenv(modeVariable) == "" {
		t.Skip("this takes minutes: use make chaos, or set " + modeVariable + "=ci")
	}
}

// TestScenario ends before TestRandom begins: the machine must not be what is tested.
func TestScenario(t *testing.T) {
	requireMode(t)
	for _, s := range slices.Backward(scenarios) { // the testing package resumes the last one first
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.run(t)
		})
	}
}
