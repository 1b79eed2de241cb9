package doctor

import (
	"fmt"
)

// permissions says what a consumer and a provider could do with this user.
func permissions(s *snapshot) []Finding {
	if s.connectErr != nil {
		return nil
	}
	dir := s.source.Dir()
	whole := s.target.Service == ""
	grant := func(what string) string {
		return fmt.Sprintf("Grant it with etcdctl role grant-permission ROLE --prefix=true %s %s (docs/roles.md).", what, dir)
	}
	switch read, write := isDenied(s.readErr), isDenied(s.writeErr); {
	case read && whole:
		return []Finding{warning("If it shall only call or provide some services, examine one of them with --service NAME. Else: "+grant(
			"read",
		),
			"This user may not read %s: it can't list or watch all services.", dir).about(dir)}
	case read && write:
		return []Finding{critical(
			grant("read"), "This user may neither read nor write %s: it can neither find nor provide the service.", dir,
		).about(dir)}
	case read:
		return []Finding{critical(
			grant("readwrite"),
			"This user may write but not read %s: it can't find the service, and a provider must read too, since its writes are guarded.", dir,
		).about(dir)}
	case write:
		return []Finding{info(
			"Enough for who calls. For who provides: "+grant("readwrite"), "This user may read but not write %s.", dir,
		).about(dir)}
	case s.writeErr != nil && s.readErr == nil:
		return []Finding{critical(
			"See what errors mean, in docs/operations.md.", "Nothing can be written below %s: %v.", dir, s.writeErr,
		).about(dir)}
	}
	return nil
}

// unread says what couldn't be examined.
func unread(s *snapshot) []Finding {
	var found []Finding
	if s.fleetErr != nil && !isDenied(s.fleetErr) {
		found = append(
			found, critical("See what errors mean, in docs/operations.md.", "The records can't be read: %v.", s.fleetErr),
		)
	}
	if s.leasesErr != nil {
		found = append(found, info("Nothing is said about leases here.", "The leases can't be examined: %v.", s.leasesErr))
	}
	return found
}
