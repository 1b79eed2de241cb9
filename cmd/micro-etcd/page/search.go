package page

import (
	"net/http"
	"strings"
)

// search answers with the services whose nodes contain a text, and how many of them do. The browser itself knows the
// services' names, but not their nodes.
func (p *page) search(w http.ResponseWriter, r *http.Request) {
	respond(w, p.view.search(strings.ToLower(r.FormValue("find"))))
}

func (v *view) search(find string) map[string]int {
	found := make(map[string]int)
	if find == "" {
		return found
	}
	for _, s := range v.everything() {
		for _, e := range s {
			if strings.Contains(e.words, find) {
				found[e.service]++
			}
		}
	}
	return found
}

// everything returns the entries of all services, so that they can be read without the lock.
func (v *view) everything() [][]*entry {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make([][]*entry, 0, len(v.services))
	for _, s := range v.services {
		entries := make([]*entry, 0, len(s.entries))
		for _, e := range s.entries {
			entries = append(entries, e)
		}
		all = append(all, entries)
	}
	return all
}
