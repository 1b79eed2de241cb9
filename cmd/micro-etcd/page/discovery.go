package page

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// target is a group of Prometheus' HTTP service discovery, here of one node.
type target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// maxDiscovering bounds how many answers are made or sent at a time: one may have many megabytes.
const maxDiscovering = 8

// unread is why there is nothing to show.
const unread = "the records couldn't be read yet"

// discover answers with the nodes in service, as consumers see them, in the form of Prometheus' HTTP service discovery.
// Until the records were read, of all data centers that are asked for, it fails: Prometheus keeps the targets that it
// has then, and not after a list without them.
func (all pages) discover() http.HandlerFunc {
	discovering := make(chan struct{}, maxDiscovering)
	return func(w http.ResponseWriter, r *http.Request) {
		query, err := url.ParseQuery(r.URL.RawQuery) // which r.URL.Query leaves out in part if it is malformed
		var wanted *filter
		if err == nil {
			wanted, err = parseFilter(query)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		from, err := all.named(query["dc"])
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		for _, p := range from {
			if why := p.view.unsettled(); why != "" {
				http.Error(w, p.about(why), http.StatusServiceUnavailable)
				return
			}
		}
		select {
		case discovering <- struct{}{}:
			defer func() { <-discovering }()
		default:
			http.Error(w, "too many ask at a time", http.StatusServiceUnavailable)
			return
		}
		targets := []target{}
		for _, p := range from {
			targets = append(targets, p.targets(wanted)...)
		}
		respond(w, targets)
	}
}

// unsettled returns why nodes may be missing that are there, or "".
func (v *view) unsettled() string {
	switch l := v.connection(); {
	case !l.read:
		return unread
	case time.Now().Before(l.settled):
		return "etcd's data was wiped or restored, and what is missing may come back"
	}
	return ""
}

func (p *page) targets(wanted *filter) []target {
	var targets []target
	for _, s := range p.view.snapshots() {
		for _, of := range s.Versions {
			for _, n := range of.Nodes {
				host, port, ok := fleet.HostPort(n.Address)
				if ok && fleet.WhyUncallable(n.Address) == "" && fleet.IsHost(host) && fleet.IsPort(port) &&
					wanted.matches(s.Name, of.Version, n) {
					t := newTarget(net.JoinHostPort(host, port), s.Name, of.Version, n)
					if p.Name != "" {
						t.Labels["__meta_micro_datacenter"] = p.Name
					}
					targets = append(targets, t)
				}
			}
		}
	}
	return targets
}

// snapshots returns the services as consumers see them, sorted by name.
func (v *view) snapshots() []*catalog.Snapshot {
	v.mu.Lock()
	defer v.mu.Unlock()
	var all []*catalog.Snapshot
	for _, s := range v.services {
		all = append(all, s.folded.Snapshots()...)
	}
	slices.SortFunc(all, func(a, b *catalog.Snapshot) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func newTarget(address, service, version string, n *catalog.Node) target {
	labels := map[string]string{
		"__meta_micro_service": service, "__meta_micro_version": version, "__meta_micro_node": n.Id,
	}
	for _, key := range slices.Sorted(maps.Keys(n.Metadata)) {
		name := "__meta_micro_metadata_" + strings.Map(labelRune, key)
		if _, taken := labels[name]; !taken {
			labels[name] = n.Metadata[key]
		}
	}
	return target{[]string{address}, labels}
}

// labelRune is what stands for a character in the name of a label.
func labelRune(r rune) rune {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return r
	}
	return '_'
}

// filter is which nodes are wanted: of any of the services and versions, and with all labels.
type filter struct {
	services, versions []string
	labels             map[string]string
}

func parseFilter(query url.Values) (*filter, error) {
	f := &filter{}
	var err error
	for name, values := range query {
		switch name {
		case "service":
			f.services = values
		case "version":
			f.versions = values
		case "label":
			if f.labels, err = fleet.KeyValues("label", values); err != nil {
				return nil, err
			}
		case "dc": // says where to look
		default:
			return nil, fmt.Errorf("there is no parameter %q: service, version, label and dc are", name)
		}
	}
	return f, nil
}

func (f *filter) matches(service, version string, n *catalog.Node) bool {
	if f.services != nil && !slices.Contains(f.services, service) ||
		f.versions != nil && !slices.Contains(f.versions, version) {
		return false
	}
	for key, value := range f.labels {
		if has, ok := n.Metadata[key]; !ok || has != value {
			return false
		}
	}
	return true
}
