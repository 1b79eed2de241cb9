package doctor

import (
	"maps"
	"slices"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/dns"
)

// dnsNames are services that micro-etcd dns can't answer for.
func dnsNames(s *snapshot) []Finding {
	services := slices.Collect(maps.Keys(s.byService()))
	var found []Finding
	if unnamed := dns.Unnamed(services); len(unnamed) > 0 {
		f := info("To be found by DNS, a service needs a name with 1 to 63 bytes between its dots, and 253 with the domain.",
			"%s a name that DNS can't have: %s.", number(len(unnamed), "service has", "services have"), list(unnamed))
		found = append(found, f.about(unnamed...))
	}
	shared := dns.SharedNames(services)
	for _, group := range shared[:min(maxEach, len(shared))] {
		found = append(found, warning("To be found by DNS, their names must differ in more than upper and lower case, or \"/\" and \"-\".",
			"Services share a name in DNS, so micro-etcd dns answers for none of them: %s.", list(group)).about(group...))
	}
	return found
}
