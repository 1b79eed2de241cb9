package page

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

const (
	nodesPerPage = 100
	maxEndpoints = 200
	maxDetailed  = 20 // versions with their endpoints
)

// service answers with a page of a service's nodes, and with its endpoints. Its parameters are name, find (a text that
// the nodes must contain) and offset (how many nodes to leave out). A name that nobody has now is a service without
// nodes.
func (p *page) service(w http.ResponseWriter, r *http.Request) {
	offset, err := strconv.Atoi(cmp.Or(r.FormValue("offset"), "0"))
	if err != nil || offset < 0 {
		http.Error(w, "offset is not a number from 0 on", http.StatusBadRequest)
		return
	}
	d, shown := p.view.detail(r.FormValue("name"), strings.ToLower(r.FormValue("find")), offset)
	ids := make([]clientv3.LeaseID, len(shown))
	for i, e := range shown {
		ids[i] = e.record.Lease
	}
	leases := p.ttls.of(r.Context(), ids)
	now := time.Now()
	for i, e := range shown {
		if a, ok := leases[e.record.Lease]; ok {
			left := max(0, a.lease.Left-now.Sub(a.at)).Milliseconds()
			d.Nodes[i].Left, d.Nodes[i].Granted = &left, a.lease.Granted.Milliseconds()
		}
	}
	d.Now = now.UnixMilli()
	respond(w, d)
}

// detail returns the page, and the entries that its nodes were made of. Entries are never changed, only replaced.
func (v *view) detail(name, find string, offset int) (detail, []*entry) {
	all, outdated, folded := v.open(name)
	d := detail{Name: name, Total: len(all), Nodes: []node{}, Versions: versionsOf(folded)}
	d.Others = len(outdated)
	for _, e := range all {
		if e.record.Service == nil {
			d.Others++
		}
		if e.record.IsNotice() {
			d.Out++
		}
	}
	if find != "" {
		all = slices.DeleteFunc(all, func(e *entry) bool { return !strings.Contains(e.words, find) })
	}
	d.Matching = len(all)
	shown := all[min(offset, len(all)):min(offset+nodesPerPage, len(all))]
	for _, e := range shown {
		n := e.node()
		n.Outdated = outdated[e]
		d.Nodes = append(d.Nodes, n)
	}
	return d, shown
}

// open returns a service's entries, those out of service first, then newest version first and then by id; those of them
// that are outdated; and what consumers see.
func (v *view) open(name string) (all []*entry, outdated map[*entry]bool, folded []*catalog.Snapshot) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.services[name]
	if s == nil {
		return nil, nil, nil
	}
	outdated = make(map[*entry]bool)
	for _, e := range s.entries {
		all = append(all, e)
		if s.isOutdated(e.record) {
			outdated[e] = true
		}
	}
	slices.SortFunc(all, func(a, b *entry) int {
		return cmp.Or(
			first(a.record.IsNotice(), b.record.IsNotice()), natural(b.version, a.version), natural(a.record.Key, b.record.Key),
		)
	})
	return all, outdated, s.folded.Snapshots()
}

// first puts what is so before what isn't.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

func (e *entry) node() node {
	r := e.record
	n := node{
		Key: label(r.Key), Version: e.version, Seen: r.Seen.UnixMilli(), Before: r.Before,
		Revision: r.Modified, Writes: r.Writes, Size: r.Size,
	}
	if r.Lease != 0 {
		n.Lease = fleet.LeaseName(r.Lease)
	}
	if own := r.Node(); own != nil {
		n.ID, n.Address, n.Metadata = label(own.Id), label(own.Address), pairs(own.Metadata)
	}
	if o := r.Notice; o != nil {
		n.Out = &outOf{
			Reason: clip(o.Reason), By: label(o.By), Since: milliseconds(o.Since), Until: milliseconds(o.Until),
			Acknowledged: !o.Acknowledged.IsZero(),
		}
	}
	if r.Err != nil {
		n.Error = clip(r.Err.Error())
	}
	return n
}

// pairs returns a map in order, clipped.
func pairs(m map[string]string) [][2]string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	var all [][2]string
	for _, name := range names {
		if len(all) == maxPairs {
			return append(all, [2]string{"…", strconv.Itoa(len(m)-maxPairs) + " more"})
		}
		all = append(all, [2]string{label(name), clip(m[name])})
	}
	return all
}

// versionsOf describes the versions of a service, newest first.
func versionsOf(folded []*catalog.Snapshot) []versionDetail {
	var all []catalog.Version
	for _, s := range folded { // one, unless names differ in what a label leaves out
		all = append(all, s.Versions...)
	}
	slices.SortFunc(all, func(a, b catalog.Version) int { return natural(label(b.Version), label(a.Version)) })
	versions := []versionDetail{}
	for _, v := range all[:min(len(all), maxDetailed)] {
		versions = append(versions, describeVersion(v))
	}
	return versions
}

func describeVersion(v catalog.Version) versionDetail {
	d := versionDetail{Version: label(v.Version), Nodes: len(v.Nodes), Metadata: pairs(v.Profile.Metadata)}
	for _, e := range v.Profile.Endpoints {
		if len(d.Endpoints) == maxEndpoints {
			d.More = len(v.Profile.Endpoints) - maxEndpoints
			break
		}
		d.Endpoints = append(d.Endpoints, endpoint{
			Name: label(e.Name), Metadata: pairs(e.Metadata), Request: signature(e.Request), Response: signature(e.Response),
		})
	}
	return d
}
