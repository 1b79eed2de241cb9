package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
)

// maxEach bounds the findings of which each is about one key.
const maxEach = 20

// recordless is a service that was asked for and that nobody provides, or that is called otherwise.
func recordless(s *snapshot) []Finding {
	name := s.target.Service
	if name == "" || s.fleet == nil || len(s.fleet.Records) > 0 {
		return nil
	}
	return []Finding{info("Compare the name with micro-etcd services, and the prefix with the registry's. If both are right, none of its nodes run.",
		"Service %s has no records.", short(name)).about(name)}
}

func malformed(s *snapshot) []Finding {
	var found []Finding
	var rest []string
	for _, r := range s.records() {
		switch {
		case r.Err == nil:
		case len(found) < maxEach:
			found = append(found, warning("Find out who writes it, and remove it with micro-etcd deregister --record-key.",
				"%s is skipped by every registry: %s.", short(r.Key), short(r.Err.Error())).about(r.Key))
		default:
			rest = append(rest, r.Key)
		}
	}
	if len(rest) > 0 {
		found = append(found, warning("The same.", "%s skipped too: %s.",
			number(len(rest), "more malformed record is", "more malformed records are"), list(rest)).about(rest...))
	}
	return found
}

// collisions are services that share a directory.
func collisions(s *snapshot) []Finding {
	names := make(map[string][]string)
	for _, name := range slices.Sorted(maps.Keys(s.byService())) {
		dir := strings.ReplaceAll(name, "/", "-")
		names[dir] = append(names[dir], name)
	}
	var found []Finding
	for _, dir := range slices.Sorted(maps.Keys(names)) {
		if len(names[dir]) > 1 {
			found = append(found, warning("Rename one of them: they overwrite each other where node ids are equal, and the official plugin mixes their lookups.",
				"The services %s share the directory %s.", list(names[dir]), short(s.dir(names[dir][0]))).about(names[dir]...))
		}
	}
	return found
}

func (s *snapshot) dir(service string) string {
	source := s.source
	source.Service = service
	return source.Dir()
}

// place is the part of a record's key that should be its node id.
func (s *snapshot) place(r *fleet.Record) string {
	return strings.TrimPrefix(r.Key, s.dir(r.Service.Name))
}

// isPluginKey reports whether a key is as the official plugin makes it, and not as this registry does.
func (s *snapshot) isPluginKey(r *fleet.Record) bool {
	id := r.Node().Id
	return strings.Contains(id, "/") && s.place(r) == strings.ReplaceAll(id, "/", "-")
}

func misplaced(s *snapshot) []Finding {
	var keys []string
	example := ""
	for _, r := range s.records() {
		if r.Service == nil || s.place(r) == r.Node().Id || s.isPluginKey(r) {
			continue
		}
		if keys = append(keys, r.Key); example == "" {
			example = fmt.Sprintf("%s holds the node %s", short(r.Key), short(r.Node().Id))
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return []Finding{warning("Remove it with micro-etcd deregister --record-key: its owner can't be a registry, and one that deregisters the node won't find it.",
		"%s at a key that isn't the node's: %s.", number(len(keys), "record is", "records are"), example).about(keys...)}
}

func leaseless(s *snapshot) []Finding {
	var keys []string
	for _, r := range s.records() {
		if r.Service != nil && r.Lease == 0 {
			keys = append(keys, r.Key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return []Finding{warning("If its process is gone, remove it with micro-etcd deregister.",
		"%s no lease, which means for ever unless somebody intervenes: %s.", number(len(keys), "record has", "records have"),
		list(keys)).about(keys...)}
}

// orphaned are records on leases that don't exist, so that nothing removes them.
func orphaned(s *snapshot) []Finding {
	if len(s.orphans) == 0 {
		return nil
	}
	var keys []string
	for _, r := range s.orphans {
		keys = append(keys, r.Key)
	}
	return []Finding{warning("If its process is gone, remove it with micro-etcd deregister; one that runs puts its record on a new lease by itself.",
		"%s on a lease that doesn't exist any more, as after a damaged restore, and stays for ever unless somebody intervenes: %s.",
		number(len(keys), "record hangs", "records hang"), list(keys)).about(keys...)}
}

func expiring(s *snapshot) []Finding {
	var keys []string
	var soonest time.Duration
	for _, r := range s.stored() {
		l, ok := s.leases[r.Lease]
		if !ok || l.Left*3 >= l.Granted {
			continue
		}
		if keys = append(keys, r.Key); len(keys) == 1 || l.Left < soonest {
			soonest = l.Left
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return []Finding{warning("Look at the process: it was killed, hangs, or can't reach etcd.",
		"%s about to expire, the first in %s, because the owner has stopped renewing: %s.",
		number(len(keys), "record is", "records are"), soonest, list(keys)).about(keys...)}
}

const (
	bigValue  = 64 << 10
	hugeValue = 5 << 18 // 1.25 MiB; etcd takes 1.5 (--max-request-bytes)
)

func largeRecords(s *snapshot) []Finding {
	var found []Finding
	for _, r := range s.stored() {
		if r.Size <= bigValue || len(found) == maxEach {
			continue
		}
		f := warning("Take metadata out: each lookup and each change of the service carries all of it.",
			"%s has %d KiB.", short(r.Key), r.Size>>10).about(r.Key)
		if r.Size > hugeValue {
			f.Severity = Critical
			f.What = fmt.Sprintf("%s has %d KiB, and at 1536 KiB etcd refuses it.", short(r.Key), r.Size>>10)
		}
		found = append(found, f)
	}
	return found
}

// doubleIDs are nodes of a service with several keys.
func doubleIDs(s *snapshot) []Finding {
	var found []Finding
	services := s.byService()
	for _, name := range slices.Sorted(maps.Keys(services)) {
		keys := make(map[string][]string)
		for _, r := range services[name] {
			keys[r.Node().Id] = append(keys[r.Node().Id], r.Key)
		}
		for _, id := range slices.Sorted(maps.Keys(keys)) {
			if len(keys[id]) > 1 {
				found = append(found, warning("Keep the key that its process renews, and remove the other; only one counts: that at the node's own key, or else the one written last.",
					"Node %s of service %s is registered at %d keys: %s.", short(id), short(name), len(keys[id]),
					list(keys[id])).about(keys[id]...))
			}
		}
	}
	return found[:min(len(found), maxEach)]
}

// sharedIDs are node ids in several services.
func sharedIDs(s *snapshot) []Finding {
	names := make(map[string][]string)
	services := s.byService()
	for _, name := range slices.Sorted(maps.Keys(services)) {
		for _, r := range services[name] {
			if id := r.Node().Id; !slices.Contains(names[id], name) {
				names[id] = append(names[id], name)
			}
		}
	}
	var found []Finding
	for _, id := range slices.Sorted(maps.Keys(names)) {
		if len(names[id]) > 1 && len(found) < maxEach {
			found = append(found, info("Nothing, if it is meant: ids need to be unique within a service only. Go Micro's own are unique everywhere.",
				"Node id %s is used by several services: %s.", short(id), list(names[id])).about(names[id]...))
		}
	}
	return found
}

// doubleAddresses are addresses of several nodes of a service.
func doubleAddresses(s *snapshot) []Finding {
	var found []Finding
	services := s.byService()
	for _, name := range slices.Sorted(maps.Keys(services)) {
		ids := make(map[string][]string)
		for _, r := range services[name] {
			if n := r.Node(); n.Address != "" && !slices.Contains(ids[n.Address], n.Id) {
				ids[n.Address] = append(ids[n.Address], n.Id)
			}
		}
		for _, address := range slices.Sorted(maps.Keys(ids)) {
			if len(ids[address]) > 1 {
				found = append(found, warning("Often a process that was killed and came back on its port: the old record goes with its lease. Else remove what is left over; calls go there more often than to others.",
					"%d nodes of service %s have the address %s: %s.", len(ids[address]), short(name), short(address),
					list(ids[address])).about(ids[address]...))
			}
		}
	}
	return found[:min(len(found), maxEach)]
}
