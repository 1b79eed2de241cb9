package doctor

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
)

// What the official plugin leaves behind, and others may too.

func pluginKeys(s *snapshot) []Finding {
	var keys []string
	for _, r := range s.records() {
		if r.Service != nil && s.isPluginKey(r) {
			keys = append(keys, r.Key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return []Finding{info("Nothing: both kinds of keys are read by both (docs/migration.md).",
		"%s slashes of the node id replaced by dashes, which is how the official plugin writes: %s.",
		number(len(keys), "key has the", "keys have the"), list(keys)).about(keys...)}
}

// pluginProfiles are versions that their nodes describe differently.
func pluginProfiles(s *snapshot) []Finding {
	var found []Finding
	services := s.byService()
	for _, name := range slices.Sorted(maps.Keys(services)) {
		profiles := make(map[string]map[string]string) // by version and profile, a key that has it
		for _, r := range services[name] {
			text, err := json.Marshal([]any{r.Service.Metadata, r.Service.Endpoints})
			if err != nil {
				continue // it came from JSON
			}
			if profiles[r.Service.Version] == nil {
				profiles[r.Service.Version] = make(map[string]string)
			}
			profiles[r.Service.Version][string(text)] = r.Key
		}
		for _, version := range slices.Sorted(maps.Keys(profiles)) {
			if n := len(profiles[version]); n > 1 && len(found) < maxEach {
				keys := slices.Sorted(maps.Values(profiles[version]))
				found = append(found, info("Give changed code a new version. The official plugin writes a change of endpoints or metadata only when the node itself changes.",
					"Version %s of service %s is described in %d ways, and the record written last counts: %s.", short(version),
					short(name), n, list(keys)).about(keys...))
			}
		}
	}
	return found
}

func leasesWithoutKeys(s *snapshot) []Finding {
	if len(s.emptyLeases) == 0 {
		return nil
	}
	var ids []string
	for _, l := range s.emptyLeases {
		ids = append(ids, fleet.LeaseName(l.ID))
	}
	return []Finding{info("They end with their TTL. Many of them cost etcd memory: look for puts that fail, or for another user of this etcd.",
		"%s no key. The official plugin leaves such when a put fails, this registry when etcd goes away in the middle of one: %s.",
		number(len(ids), "lease has", "leases have"), list(ids)).about(ids...)}
}
