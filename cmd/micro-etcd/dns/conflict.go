package dns

import (
	"maps"
	"slices"
	"strings"
)

// maxServiceName is how long a service's name may be on the wire: "service" and the usual domain follow.
const maxServiceName = maxName - len("\x07service\x05micro\x08internal")

// Unnamed returns which services DNS can't name, and SharedNames groups of those that share a name, for none of which
// anything is answered. Both sort them.
func Unnamed(services []string) []string {
	var unnamed []string
	for _, service := range services {
		if n, ok := nameOf(service); !ok || len(n) > maxServiceName || isReserved(n) {
			unnamed = append(unnamed, service)
		}
	}
	slices.Sort(unnamed)
	return unnamed
}

// isReserved reports whether a name stands for something else than a service.
func isReserved(n name) bool {
	_, last := n.last()
	_, versioned := n.cutVersion()
	return last == tcpLabel || last == udpLabel || versioned != ""
}

// SharedNames is described at [Unnamed].
func SharedNames(services []string) [][]string {
	own, dashed := make(map[name][]string), make(map[name][]string)
	for _, service := range services {
		n, ok := nameOf(service)
		if !ok {
			continue
		}
		own[n] = append(own[n], service)
		if d, _ := nameOf(strings.ReplaceAll(service, "/", "-")); d != n {
			dashed[d] = append(dashed[d], service)
		}
	}
	maps.DeleteFunc(dashed, func(n name, _ []string) bool { return own[n] != nil }) // which has it then
	var shared [][]string
	for _, names := range []map[name][]string{own, dashed} {
		for _, group := range names {
			if len(group) > 1 {
				slices.Sort(group)
				shared = append(shared, group)
			}
		}
	}
	slices.SortFunc(shared, slices.Compare)
	return shared
}
