package dns

import "slices"

// maxServiceName is how long a service's name may be on the wire: "service" and the usual domain follow.
const maxServiceName = maxName - len("\x07service\x05micro\x08internal")

// Unnamed returns which services DNS can't name, and SharedNames groups of those that share a name, for neither of
// which anything is answered. Both sort them.
func Unnamed(services []string) []string {
	var unnamed []string
	for _, service := range services {
		if n, ok := nameOf(service); !ok || len(n) > maxServiceName {
			unnamed = append(unnamed, service)
		}
	}
	slices.Sort(unnamed)
	return unnamed
}

// SharedNames is described at [Unnamed].
func SharedNames(services []string) [][]string {
	byName := make(map[name][]string)
	for _, service := range services {
		if n, ok := nameOf(service); ok {
			byName[n] = append(byName[n], service)
		}
	}
	var shared [][]string
	for _, group := range byName {
		if len(group) > 1 {
			slices.Sort(group)
			shared = append(shared, group)
		}
	}
	slices.SortFunc(shared, slices.Compare)
	return shared
}
