// Package doctor examines a registry in etcd as a plugin would meet it, and says what is wrong in sentences. It writes
// nothing.
package doctor

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
)

// Report is the result of an examination.
type Report struct {
	At        time.Time `json:"at"`
	Addresses []string  `json:"addresses"`
	Prefix    string    `json:"prefix"`
	Members   int       `json:"members"`
	Reached   int       `json:"members_reached"`
	Versions  []string  `json:"etcd_versions"`
	Revision  int64     `json:"revision"` // of the records; 0 if they couldn't be read
	Services  int       `json:"services"`
	Records   int       `json:"records"`
	Out       int       `json:"out_of_service"` // nodes, which aren't among the records
	// Findings are sorted by severity, the worst first.
	Findings []Finding `json:"findings"`
}

// Worst returns the highest severity among the findings; Info without any.
func (r *Report) Worst() Severity {
	worst := Info
	for _, f := range r.Findings {
		worst = max(worst, f.Severity)
	}
	return worst
}

// Examine looks at everything. Its error says that it couldn't: bad options, or ctx ended. An etcd that can't be
// reached is a finding.
func Examine(ctx context.Context, t Target) (*Report, error) {
	s, err := gather(ctx, t)
	if err != nil {
		return nil, err
	}
	return s.report(), nil
}

func gather(ctx context.Context, t Target) (*snapshot, error) {
	r, err := t.open(t.Addresses)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // nothing is registered with it
	s := &snapshot{
		target:    t,
		addresses: r.Status().Endpoints,
		source:    fleet.Source{Prefix: t.Prefix, Service: t.Service, Timeout: t.timeout()},
	}
	s.members = s.askEach(ctx, s.addresses)
	s.askMembers(ctx)
	s.askAgain(ctx)
	if slices.ContainsFunc(s.members, func(m member) bool { return m.err == nil }) {
		s.source.Client, s.connectErr = r.Client(ctx)
		if s.connectErr == nil {
			s.askCluster(ctx, r)
		}
	} else {
		s.connectErr = s.members[0].err
	}
	return s, context.Cause(ctx)
}

// check looks at what was gathered for one thing.
type check struct {
	name string
	find func(*snapshot) []Finding
}

// checks in the order of their findings, within a severity.
var checks = []check{
	{"connection", unreachableAddresses},
	{"lookup", failedLookup},
	{"members", unreachableMembers},
	{"plain-member", plainMembers},
	{"cluster", differentClusters},
	{"shared-member-id", sharedMemberIDs},
	{"data", differentData},
	{"leader", missingLeaders},
	{"alarm", alarms},
	{"space", space},
	{"lag", lag},
	{"learner", learners},
	{"mixed-versions", mixedVersions},
	{"old-version", oldVersions},
	{"clock", clocks},
	{"permission", permissions},
	{"unread", unread},
	{"no-records", recordless},
	{"malformed", malformed},
	{"collision", collisions},
	{"misplaced", misplaced},
	{"no-lease", leaseless},
	{"lost-lease", orphaned},
	{"expiring", expiring},
	{"unacknowledged-drain", unacknowledged},
	{"endless-drain", endless},
	{"overdue-drain", overdue},
	{"out-of-service", outOfService},
	{"stale-notice", staleNotices},
	{"size", largeRecords},
	{"double-id", doubleIDs},
	{"shared-id", sharedIDs},
	{"double-address", doubleAddresses},
	{"address", uncallable},
	{"loopback", loopbacks},
	{"dns-name", dnsNames},
	{"plugin-key", pluginKeys},
	{"plugin-profile", pluginProfiles},
	{"empty-lease", leasesWithoutKeys},
}

func (s *snapshot) report() *Report {
	r := &Report{
		At: time.Now().UTC(), Addresses: s.addresses, Prefix: s.source.Dir(),
		Members: len(s.memberList), Reached: len(s.reachedByID()), Versions: s.versions(), Findings: []Finding{},
	}
	if s.fleet != nil {
		r.Revision, r.Records, r.Services = s.fleet.Revision, len(s.records()), len(s.byService())
		r.Out = len(s.outOfService())
	}
	for _, c := range checks {
		for _, f := range c.find(s) {
			f.Check = c.name
			r.Findings = append(r.Findings, f)
		}
	}
	slices.SortStableFunc(r.Findings, func(x, y Finding) int { return cmp.Compare(y.Severity, x.Severity) })
	return r
}
