package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"go-micro.dev/v4/registry"
)

// fold is a lookup, kept up to date by a watcher's results in the way of go-micro's cache.
type fold map[string]*registry.Service // by version

func newFold(services []*registry.Service) fold {
	f := fold{}
	for _, s := range services {
		f[s.Version] = s
	}
	return f
}

func (f fold) apply(action string, s *registry.Service) {
	known := f[s.Version]
	if known == nil && action == "delete" {
		return
	}
	var nodes []*registry.Node
	if known != nil {
		nodes = slices.DeleteFunc(slices.Clone(known.Nodes), func(n *registry.Node) bool {
			return slices.ContainsFunc(s.Nodes, func(o *registry.Node) bool { return o.Id == n.Id })
		})
	}
	now := s
	if action == "delete" {
		now = known
	} else {
		nodes = append(nodes, s.Nodes...)
	}
	if len(nodes) == 0 {
		delete(f, s.Version)
		return
	}
	folded := *now
	folded.Nodes = nodes
	f[s.Version] = &folded
}

func (f fold) services() []*registry.Service { return slices.Collect(maps.Values(f)) }

// agreement checks P4: when nothing happens any more, what a watcher folds to is what lookups say is what etcd holds.
func (h *story) agreement() []violation {
	if h.quiet.IsZero() {
		return []violation{{"P4", h.end, "the history has no quiet moment at which to compare"}}
	}
	var found []violation
	var truth map[string]string
	for _, e := range h.truths {
		if !e.At.After(h.quiet) {
			truth = e.Records
		}
	}
	if truth == nil {
		return []violation{{"P4", h.quiet, "etcd couldn't be asked at the quiet moment"}}
	}
	for _, text := range disagreements(h.events, h.quiet, truth) {
		found = append(found, violation{"P4", h.quiet, text})
	}
	return found
}

// disagreements returns how lookups and watchers differed from etcd at a time.
func disagreements(events []*event, at time.Time, truth map[string]string) []string {
	views := map[viewer]map[string]string{}
	folds := map[[2]string]fold{}
	watchers := map[[2]string]int{}
	for _, e := range events {
		if e.At.After(at) {
			break
		}
		who := [2]string{e.Process, e.Name}
		switch e.Kind {
		case kindView:
			if e.Via != "call" {
				views[viewer{e.Process, e.Name, e.Via}] = shown(e.Services)
			}
		case kindWatching:
			folds[who], watchers[who] = newFold(e.Services), e.Watcher
		case kindSeen:
			who[1] = e.Service.Name
			if watchers[who] == e.Watcher {
				folds[who].apply(e.Action, e.Service)
			}
		case kindKilled:
			maps.DeleteFunc(views, func(v viewer, _ map[string]string) bool { return v.process == e.Process })
			maps.DeleteFunc(folds, func(who [2]string, _ fold) bool { return who[0] == e.Process })
		default:
		}
	}
	var found []string
	for v, records := range views {
		found = append(found, differences(v.process+"'s view by "+v.via, v.name, records, truth)...)
	}
	for who, f := range folds {
		found = append(found, differences(fmt.Sprint("the fold of ", who[0], "'s watcher ", watchers[who]), who[1], shown(f.services()), truth)...)
	}
	slices.Sort(found)
	return found
}

// differences compares what somebody says about a service with etcd.
func differences(who, name string, says, truth map[string]string) []string {
	var found []string
	for key, value := range truth {
		if serviceOf(key) == name && ownerIn(value) != "" && says[key] != value {
			found = append(found, fmt.Sprintf("%s has %q for %s, etcd %q", who, says[key], key, value))
		}
	}
	for key, value := range says {
		if ownerIn(truth[key]) == "" {
			found = append(found, fmt.Sprintf("%s has %s, etcd hasn't: %q", who, key, value))
		}
	}
	return found
}

// order checks P4: no view and no watcher goes back in time, unless etcd does.
func (h *story) order() []violation {
	var found []violation
	type source struct{ who, key, owner string }
	newest := map[source]int{}
	note := func(e *event, who string, s *registry.Service) {
		for key, value := range shown([]*registry.Service{s}) {
			r := parse(value)
			seq, err := strconv.Atoi(r.Nodes[0].Metadata[seqKey])
			if err != nil {
				continue
			}
			from := source{who, key, ownerOf(r)}
			if seq < newest[from] && !h.setBack(e.At) {
				found = append(found, violation{"P4", e.At, fmt.Sprintf("%s shows %s of %s as it was before: %d after %d", who, key, ownerOf(r), seq, newest[from])})
			}
			newest[from] = seq
		}
	}
	for _, e := range h.events {
		switch e.Kind {
		case kindSeen:
			if e.Action != "delete" {
				note(e, fmt.Sprint(e.Process, "'s watcher ", e.Watcher), e.Service)
			}
		case kindView:
			for _, s := range e.Services {
				note(e, e.Process+"'s view by "+e.Via, s)
			}
		default:
		}
	}
	return found
}

// setBack reports whether etcd's own data may have gone back at that time, or shortly before: by another history, of
// which views learn within a probe's interval, or by a write that a fault has held up.
func (h *story) setBack(at time.Time) bool {
	return slices.ContainsFunc(h.faults, func(f *event) bool {
		late := healBound
		switch f.Op {
		case faultUser:
			return false
		case faultData:
			late = probeInterval + noise
		default:
		}
		return !at.Before(f.At) && at.Before(f.end().Add(late))
	})
}
