package page

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// pages are those of all data centers, in the order that they were given.
type pages []*page

func newPages(datacenters []Datacenter) pages {
	var all pages
	for _, d := range datacenters {
		v := newView(d.Source.Dir())
		all = append(all, &page{Datacenter: d, view: v, hub: newHub(v), ttls: newTTLs(d.Source)})
	}
	for _, p := range all {
		p.hub.name, p.hub.all = p.Name, all.states
	}
	return all
}

func (all pages) routes(assets map[string]asset) http.Handler {
	files := serveAssets(assets)
	mux := http.NewServeMux()
	mux.HandleFunc("/api/stream", all.one((*page).stream))
	mux.HandleFunc("/api/service", all.one((*page).service))
	mux.HandleFunc("/api/search", all.one((*page).search))
	mux.HandleFunc("/sd", all.discover())
	mux.HandleFunc("/healthz", all.healthy)
	mux.Handle("/metrics", all.metrics())
	mux.HandleFunc("/", all.one(func(_ *page, w http.ResponseWriter, r *http.Request) { files(w, r) }))
	return mux
}

// one answers for the data center that dc names, and without it for the first.
func (all pages) one(answer func(*page, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		names := r.URL.Query()["dc"]
		wanted, err := all.named(names[:min(len(names), 1)])
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		answer(wanted[0], w, r)
	}
}

// named returns the pages of some data centers, or of all without a name.
func (all pages) named(names []string) (pages, error) {
	if len(names) == 0 {
		return all, nil
	}
	var known []string
	for _, p := range all {
		known = append(known, p.Name)
	}
	for _, name := range names {
		switch {
		case slices.Contains(known, name):
		case all[0].Name == "":
			return nil, fmt.Errorf("there is no data center %q: --dc gives them names", name)
		default:
			return nil, fmt.Errorf("there is no data center %q: known are %s", name, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(p *page) bool { return !slices.Contains(names, p.Name) }), nil
}

// states returns how the data centers are, if they have names.
func (all pages) states() []datacenter {
	var states []datacenter
	for _, p := range all {
		if p.Name != "" {
			l := p.view.connection()
			states = append(states, datacenter{Name: p.Name, Connected: l.connected, Error: l.err})
		}
	}
	return states
}

// about says which data center a text is about.
func (p *page) about(text string) string {
	if p.Name == "" {
		return text
	}
	return "data center " + p.Name + ": " + text
}
