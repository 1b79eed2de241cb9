package doctor

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
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
		if why := whyUncallable(r.Node().Address); why != "" {
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

// whyUncallable returns "" for an address that may do. What isn't host and port is left alone if it names a path: it
// is for a transport of its own.
func whyUncallable(address string) string {
	if strings.Contains(address, "/") {
		return ""
	}
	if address == "" {
		return "is empty"
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "is no host and port"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "has no usable port"
	}
	if host == "" {
		return "has no host"
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsUnspecified() {
		return "is where a server listens, not where it is"
	}
	return ""
}

// loopbacks are services of which some nodes can be called from their own machine only, and others from elsewhere.
func loopbacks(s *snapshot) []Finding {
	var found []Finding
	services := s.byService()
	for _, name := range slices.Sorted(maps.Keys(services)) {
		var keys []string
		others := 0
		for _, r := range services[name] {
			switch {
			case whyUncallable(r.Node().Address) != "":
			case isLoopback(r):
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

func isLoopback(r *fleet.Record) bool {
	host, _, err := net.SplitHostPort(r.Node().Address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
