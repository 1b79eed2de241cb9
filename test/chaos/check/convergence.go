package check

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/micro-etcd/micro-etcd/test/chaos/history"
	"github.com/micro-etcd/micro-etcd/test/chaos/record"
)

// checkConvergence checks P4: when nothing happens any more, what a watcher folds to is what lookups say is what etcd
// holds.
func (h *timeline) checkConvergence() []Violation {
	if h.quiet.IsZero() {
		return []Violation{{"P4", h.end, "the history has no quiet moment at which to compare"}}
	}
	var found []Violation
	var truth map[string]string
	for _, e := range h.truths {
		if !e.At.After(h.quiet) {
			truth = e.Records
		}
	}
	if truth == nil {
		return []Violation{{"P4", h.quiet, "etcd couldn't be asked at the quiet moment"}}
	}
	for _, text := range Divergences(h.events, h.quiet, truth) {
		found = append(found, Violation{"P4", h.quiet, text})
	}
	return found
}

// Divergences returns how lookups and watchers differed from etcd at a time.
func Divergences(events []*history.Event, at time.Time, truth map[string]string) []string {
	views := map[viewer]map[string]string{}
	folds := map[[2]string]fold{}
	watchers := map[[2]string]int{}
	for _, e := range events {
		if e.At.After(at) {
			break
		}
		who := [2]string{e.Process, e.Name}
		switch e.Kind {
		case history.KindView:
			if e.Via != "call" {
				views[viewer{e.Process, e.Name, e.Via}] = record.ByKey(e.Services)
			}
		case history.KindWatching:
			folds[who], watchers[who] = newFold(e.Services), e.Watcher
		case history.KindSeen:
			who[1] = e.Service.Name
			if watchers[who] == e.Watcher {
				folds[who].apply(e.Action, e.Service)
			}
		case history.KindKilled:
			maps.DeleteFunc(views, func(v viewer, _ map[string]string) bool { return v.process == e.Process })
			maps.DeleteFunc(folds, func(who [2]string, _ fold) bool { return who[0] == e.Process })
		default:
		}
	}
	var found []string
	for v, records := range views {
		found = append(found, divergencesOf(v.process+"'s view by "+v.via, v.name, records, truth)...)
	}
	for who, f := range folds {
		found = append(
			found,
			divergencesOf(fmt.Sprint("the fold of ", who[0], "'s watcher ", watchers[who]), who[1],
				record.ByKey(f.services()), truth)...)
	}
	slices.Sort(found)
	return found
}

// divergencesOf compares what somebody says about a service with etcd.
func divergencesOf(who, name string, says, truth map[string]string) []string {
	var found []string
	for key, value := range truth {
		if record.ServiceOf(key) == name && record.OwnerIn(value) != "" && says[key] != value {
			found = append(found, fmt.Sprintf("%s has %q for %s, etcd %q", who, says[key], key, value))
		}
	}
	for key, value := range says {
		if record.OwnerIn(truth[key]) == "" {
			found = append(found, fmt.Sprintf("%s has %s, etcd hasn't: %q", who, key, value))
		}
	}
	return found
}
