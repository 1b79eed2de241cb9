package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func unreachableAddresses(s *snapshot) []Finding {
	var found []Finding
	alone := len(s.reachedByID()) == 0
	for _, m := range s.members[:len(s.addresses)] {
		switch {
		case m.err == nil:
		case alone:
			found = append(found, critical("Check the address, the network, TLS and the user; lookups go on from the last view meanwhile, but nothing new is found.",
				"A registry can't use %s: %v.", m.address, Hint(m.address, m.err)).about(m.address))
		default:
			found = append(found, warning("Start the member, or take the address out of the registry's list.",
				"A registry can't use %s: %v.", m.address, Hint(m.address, m.err)).about(m.address))
		}
	}
	if s.connectErr != nil && !alone {
		found = append(found, critical("Compare the addresses with what each of them says on its own.",
			"A registry that has all the addresses can't connect: %v.", s.connectErr))
	}
	return found
}

func failedLookup(s *snapshot) []Finding {
	if s.lookupErr == nil || s.readErr != nil && isDenied(s.lookupErr) {
		return nil
	}
	return []Finding{critical("See what errors mean, in docs/operations.md.", "A lookup fails: %v.", s.lookupErr)}
}

func unreachableMembers(s *snapshot) []Finding {
	byID := s.reachedByID()
	var found []Finding
	voters, reached := 0, 0 // those that weren't asked count as reached
	for _, m := range s.memberList {
		if !m.IsLearner {
			voters++
		}
		switch _, ok := byID[m.ID]; {
		case ok, s.isSkipped(m):
			if !m.IsLearner {
				reached++
			}
		case m.Name == "" && len(m.ClientURLs) == 0:
			found = append(found, warning("Start it, or remove it with etcdctl member remove: until then it counts for the majority.",
				"Member %x (%s) was added but has never been started.", m.ID,
				strings.Join(m.PeerURLs, ", ")).about(fmt.Sprintf("%x", m.ID)))
		default:
			found = append(found, warning("Start it, or mend the network between here and there; if it is gone for good, remove it with etcdctl member remove.",
				"Member %s (%x) can't be reached at %s.", short(m.Name), m.ID,
				strings.Join(m.ClientURLs, ", ")).about(m.ClientURLs...))
		}
	}
	if len(s.memberList) > 0 && reached <= voters/2 {
		found = append(found, critical("Start members until more than half of them run: without a majority nothing can be registered, and leases stand still.",
			"Only %d of %d voting members can be reached, which is no majority.", reached, voters))
	}
	return found
}

// plainMembers are those that weren't asked.
func plainMembers(s *snapshot) []Finding {
	byID := s.reachedByID()
	var found []Finding
	for _, m := range s.memberList {
		if _, ok := byID[m.ID]; !ok && s.isSkipped(m) {
			found = append(found, warning("Have it advertise https:// URLs with --advertise-client-urls; if its certificate serves clients already, give its https:// address here as well.",
				"Member %s (%x) advertises %s only, and wasn't asked: the addresses given are not plain, and there a password could be read on the way.",
				short(m.Name), m.ID, strings.Join(m.ClientURLs, ", ")).about(m.ClientURLs...))
		}
	}
	return found
}

// differentClusters are members of different clusters among the addresses.
func differentClusters(s *snapshot) []Finding {
	clusters := make(map[uint64][]string)
	for _, m := range s.members {
		if m.err == nil {
			clusters[m.cluster] = append(clusters[m.cluster], m.address)
		}
	}
	if len(clusters) < 2 {
		return nil
	}
	var parts []string
	for _, addresses := range clusters {
		parts = append(parts, list(addresses))
	}
	slices.Sort(parts)
	return []Finding{critical("Give the registry the addresses of one cluster only: it spreads its requests over all of them.",
		"The addresses belong to %d different clusters: %s.", len(clusters), strings.Join(parts, "; "))}
}

func missingLeaders(s *snapshot) []Finding {
	var found []Finding
	leaders := make(map[uint64]bool)
	for _, m := range s.reached() {
		if m.status.Leader == 0 {
			found = append(found, critical("Start members until more than half of them run and see each other.",
				"%s has no leader, so it can neither read nor write.", s.name(m)).about(m.address))
		} else {
			leaders[m.status.Leader] = true
		}
	}
	if len(leaders) > 1 {
		found = append(found, warning("Look again in a moment: an election may be under way. If it stays, members don't see each other.",
			"The members name %d different leaders.", len(leaders)))
	}
	return found
}

func alarms(s *snapshot) []Finding {
	var found []Finding
	seen := make(map[string]bool)
	for _, m := range s.reached() {
		for _, text := range m.status.Errors {
			_, alarm, isAlarm := strings.Cut(text, "alarm:")
			if alarm = strings.TrimSpace(alarm); !isAlarm || seen[text] {
				continue
			}
			seen[text] = true
			advice := "See etcd's documentation of this alarm."
			switch alarm {
			case "NOSPACE":
				advice = "Compact, defragment, and then etcdctl alarm disarm (docs/operations.md): renewals go on, but nothing new can be registered."
			case "CORRUPT":
				advice = "Replace the members whose data differs, then etcdctl alarm disarm: a cluster with this alarm refuses writes."
			}
			found = append(
				found, critical(advice, "etcd has raised the alarm %s (%s).", alarm, strings.TrimSpace(text)).about(m.address),
			)
		}
	}
	return found
}

// defaultQuota is etcd's (server/v3 storage/quota.go); servers before 3.6 don't tell theirs.
const defaultQuota = 2 << 30

func space(s *snapshot) []Finding {
	var found []Finding
	for _, m := range s.reached() {
		quota, told := m.status.DbSizeQuota, "its quota"
		if quota <= 0 {
			quota, told = defaultQuota, "etcd's default quota"
		}
		percent := m.status.DbSize * 100 / quota
		f := warning("Switch on auto-compaction, defragment, or raise --quota-backend-bytes: when it is full nothing can be registered.",
			"The database of %s has %d of %d MiB, %d%% of %s; %d MiB of it are in use.",
			s.name(m), m.status.DbSize>>20, quota>>20, percent, told, m.status.DbSizeInUse>>20).about(m.address)
		switch {
		case percent >= 95:
			f.Severity = Critical
			found = append(found, f)
		case percent >= 80:
			found = append(found, f)
		}
	}
	return found
}

// maxLag is how many entries a member may be behind. Etcd refuses requests at 5,000 (server/v3 etcdserver/v3_server.go,
// maxGapBetweenApplyAndCommitIndex).
const maxLag = 1000

func lag(s *snapshot) []Finding {
	var newest uint64
	for _, m := range s.reached() {
		newest = max(newest, m.status.RaftIndex)
	}
	var found []Finding
	for _, m := range s.reached() {
		unapplied, behind := m.status.RaftIndex-m.status.RaftAppliedIndex, newest-m.status.RaftIndex
		if m.status.RaftAppliedIndex <= m.status.RaftIndex && unapplied > maxLag || behind > maxLag {
			found = append(found, warning("Look at its disk and its network; its clients see old records and wait longer.",
				"%s is behind: %d entries of the log haven't reached it, and %d aren't applied.", s.name(m), behind,
				unapplied).about(m.address))
		}
	}
	return found
}

func learners(s *snapshot) []Finding {
	var found []Finding
	for _, m := range s.members {
		if m.err != nil || !m.status.IsLearner {
			continue
		}
		if slices.Contains(s.addresses, m.address) {
			found = append(found, warning("Take it out of the registry's addresses until it is promoted: a learner serves no registry.",
				"%s is a learner.", s.name(m)).about(m.address))
		} else {
			found = append(found, info(
				"Promote it with etcdctl member promote when it has caught up.", "%s is a learner.", s.name(m),
			).about(m.address))
		}
	}
	return found
}

func mixedVersions(s *snapshot) []Finding {
	versions := s.versions()
	if len(versions) < 2 {
		return nil
	}
	return []Finding{warning("Finish the upgrade: a mixed cluster works as its oldest member does, and isn't meant to last.",
		"The members run different versions of etcd: %s.", strings.Join(versions, ", "))}
}

// recommended are the first patch releases without the bugs that docs/operations.md lists.
var recommended = map[[2]int]int{{3, 5}: 33, {3, 6}: 14, {3, 7}: 1}

func oldVersions(s *snapshot) []Finding {
	var found []Finding
	for _, version := range s.versions() {
		var major, minor, patch int
		if _, err := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); err != nil {
			continue
		}
		first, known := recommended[[2]int{major, minor}]
		switch {
		case major < 3 || major == 3 && minor < 5:
			found = append(found, warning("Upgrade to 3.6 or 3.7.", "etcd %s is no longer maintained.", version))
		case known && patch < first:
			found = append(found, warning(fmt.Sprintf("Upgrade to %d.%d.%d or later.", major, minor, first),
				"etcd %s has known bugs: among others, who may read one key can watch all that follow (GHSA-xg4h-6gfc-h4m8).",
				version))
		}
	}
	return found
}

// maxSkew is what clocks may differ by, beyond the second that HTTP's dates leave open.
const maxSkew = 2 * time.Second

func clocks(s *snapshot) []Finding {
	var found []Finding
	for _, m := range s.reached() {
		switch {
		case m.clockErr != nil:
			found = append(found, info("It is told at /version over HTTP, on the same port as the rest unless --listen-client-http-urls says otherwise.",
				"The clock of %s can't be compared: %v.", s.name(m), m.clockErr).about(m.address))
		case m.skew > maxSkew || m.skew < -maxSkew:
			direction := "ahead of"
			if m.skew < 0 {
				direction = "behind"
			}
			found = append(found, warning("Set both clocks by NTP: leases don't mind, but certificates, logs and tokens do.",
				"The clock of %s is at least %s %s this machine's.", s.name(m), m.skew.Abs().Round(100*time.Millisecond),
				direction).about(m.address))
		}
	}
	return found
}
