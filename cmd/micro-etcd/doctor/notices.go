package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
)

// outOfService says of each node why it is out of service.
func outOfService(s *snapshot) []Finding {
	var found []Finding
	var rest []string
	for _, r := range s.outOfService() {
		if len(found) == maxEach {
			rest = append(rest, r.Key)
			continue
		}
		advice := "Nothing, if it is meant. Put it back with micro-etcd undrain."
		if r.Notice.By == "" {
			advice = "Look at the process: it comes back by itself when its checks pass."
		}
		found = append(found, info(advice, "%s is out of service %s.", nodeOf(r), why(r)).about(r.Key))
	}
	if len(rest) > 0 {
		found = append(found, info("The same.", "%s out of service: %s.",
			number(len(rest), "more node is", "more nodes are"), list(rest)).about(rest...))
	}
	return found
}

func nodeOf(r *fleet.Record) string {
	return fmt.Sprintf("Node %s of service %s", short(r.Node().Id), short(r.Service.Name))
}

// why says who took a node out of service, when, until when, and what for.
func why(r *fleet.Record) string {
	n := r.Notice
	text := "since " + n.Since.UTC().Format(time.RFC3339)
	if n.By == "" {
		text += ", by its own health checks"
	} else {
		text += ", by " + short(n.By)
	}
	if !n.Until.IsZero() {
		text += ", until " + n.Until.UTC().Format(time.RFC3339)
	}
	if n.Reason != "" {
		text += ": " + strings.TrimSuffix(short(n.Reason), ".")
	}
	return text
}

// unacknowledged are drains of nodes whose processes don't know of them. Those without a lease have no process that
// could.
func unacknowledged(s *snapshot) []Finding {
	var keys, names []string
	promised := 0
	for _, r := range s.outOfService() {
		n := r.Notice
		if n.By == "" || !n.Acknowledged.IsZero() || r.Lease == 0 || time.Since(n.Since) < fleet.AcknowledgeTime {
			continue
		}
		if !n.Until.IsZero() {
			promised++
		}
		keys, names = append(keys, r.Key), append(names, r.Node().Id)
	}
	if len(keys) == 0 {
		return nil
	}
	text := number(len(keys), "drain isn't", "drains aren't") + " acknowledged by the node's process, which uses another registry plugin, hangs, or is gone"
	if promised > 0 {
		text += fmt.Sprintf("; nobody will end %d of them when the time is over", promised)
	}
	return []Finding{warning("End it with micro-etcd undrain when it is over. A process with another plugin puts its record back when its lease is lost or its node changes.",
		"%s: %s.", text, list(names)).about(keys...)}
}

// endless are notices that nothing removes.
func endless(s *snapshot) []Finding {
	var keys []string
	for _, r := range s.outOfService() {
		if r.Lease == 0 {
			keys = append(keys, r.Key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return []Finding{warning("End it with micro-etcd undrain, or remove it with micro-etcd deregister if its process is gone.",
		"%s no lease, so the node stays out of service until somebody intervenes: %s.",
		number(len(keys), "notice has", "notices have"), list(keys)).about(keys...)}
}

// overdueTime is how late a drain may end: clocks differ.
const overdueTime = time.Minute

// overdue are drains that the node's process was to end.
func overdue(s *snapshot) []Finding {
	var keys []string
	for _, r := range s.outOfService() {
		n := r.Notice
		if !n.Until.IsZero() && !n.Acknowledged.IsZero() && time.Since(n.Until) > overdueTime {
			keys = append(keys, r.Key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return []Finding{warning("Look at the process, and compare its clock. To put the node back use micro-etcd undrain.",
		"%s over, but the node's process hasn't put its record back: %s.",
		number(len(keys), "drain is", "drains are"), list(keys)).about(keys...)}
}

// staleNotices are beside the record of their node, which counts.
func staleNotices(s *snapshot) []Finding {
	out := make(map[string]bool)
	for _, r := range s.outOfService() {
		out[r.Key] = true
	}
	var keys []string
	for _, r := range s.stored() {
		if r.IsNotice() && !out[r.Key] {
			keys = append(keys, r.Key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return []Finding{info("Remove it with micro-etcd undrain. Often another plugin's process has put its record back.",
		"%s of a node that is in service: %s.", number(len(keys), "notice is", "notices are"), list(keys)).about(keys...)}
}
