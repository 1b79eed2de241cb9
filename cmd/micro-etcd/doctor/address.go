package doctor

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
)

// uncallable are addresses that no client can call, wherever it runs.
func uncallable(s *snapshot) []Finding {
	var texts, keys []string
	for _, r := range s.records() {
		if r.Service == nil {
			continue
		}
		if why := fleet.WhyUncallable(r.Node().Address); why != "" {
			texts = append(texts, fmt.Sprintf("%s (%q %s)", short(r.Key), short(r.Node().Address), why))
			keys = append(keys, r.Key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return []Finding{warning("Set server.Address, or server.Advertise, to a host and port that clients can reach.",
		"%s an address that nobody can call: %s.", number(len(keys), "record has", "records have"),
		list(texts)).about(keys...)}
}

// loopbacks are services of which some nodes can be called from their own machine only, and others from elsewhere.
func loopbacks(s *snapshot) []Finding {
	var found []Finding
	services := s.byService()
	for _, name := range slices.Sorted(maps.Keys(services)) {
		var keys []string
		others := 0
		for _, r := range services[name] {
			host, _, ok := fleet.HostPort(r.Node().Address)
			switch {
			case !ok || fleet.WhyUncallable(r.Node().Address) != "":
			case isLoopback(host):
				keys = append(keys, r.Key)
			default:
				others++
			}
		}
		if len(keys) > 0 && others > 0 && len(found) < maxEach {
			found = append(found, info("Nothing, if all clients run on the same machine as these nodes. Else set the server's address: from other machines these calls fail.",
				"Of service %s %s on a loopback address, and %d elsewhere: %s.", short(name),
				number(len(keys), "node is", "nodes are"), others, list(keys)).about(keys...))
		}
	}
	return found
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	return err == nil && ip.Unmap().IsLoopback() || name == "localhost" || strings.HasSuffix(name, ".localhost")
}
