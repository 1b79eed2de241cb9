package registration

// boundedSet is a set that forgets the oldest of too many members. The zero value is empty.
type boundedSet[K comparable] struct {
	has   map[K]bool
	order []K // the oldest first
}

// maxMembers bounds what is remembered of what was ours.
const maxMembers = 4096

func (r *boundedSet[K]) add(k K) {
	switch {
	case r.has[k]:
		return
	case r.has == nil:
		r.has = make(map[K]bool)
	case len(r.order) == maxMembers:
		delete(r.has, r.order[0])
		r.order = r.order[1:]
	}
	r.has[k] = true
	r.order = append(r.order, k)
}
