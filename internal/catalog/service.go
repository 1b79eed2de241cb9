package catalog

// service holds the records of one service name.
type service struct {
	nodes    map[string]*Record            // by node id: the record that counts
	shadowed map[string]map[string]*Record // by node id and key: records of the same node, which don't count
	versions map[string]*version
	snapshot *Snapshot // nil after a change
}

// version counts what the nodes of a version say of it.
type version struct {
	profiles map[*Profile]int // number of nodes by profile
	lead     *Record          // the node with the highest revision; nil when it went and nobody has looked for the next
}

func newService() *service {
	return &service{nodes: make(map[string]*Record), versions: make(map[string]*version)}
}

// replace exchanges one record of a node id for another (either may be nil), and returns what consumers see of it. With
// report false, a change that says nothing new is left out.
func (s *service) replace(id string, old, fresh *Record, report bool) []Change {
	before := s.nodes[id]
	after := s.elect(id, old, fresh)
	if after == before {
		return nil
	}
	s.snapshot = nil

	var was *Profile
	led := false
	if before != nil {
		was = s.profile(before.Version)
		led = s.versions[before.Version].lead == before
		s.leave(before)
	}
	if after == nil {
		delete(s.nodes, id)
	} else {
		s.nodes[id] = after
		s.join(after)
		if led && after.Version == before.Version && after.newer(before) {
			s.versions[after.Version].lead = after
		}
	}
	return s.changes(before, after, was, report)
}

// changes describes the step of a node from one record to another. was is the profile of before's version until then.
func (s *service) changes(before, after *Record, was *Profile, report bool) []Change {
	var changes []Change
	moved := before != nil && (after == nil || after.Version != before.Version)
	if moved {
		changes = append(changes, Change{Action: Delete, Record: before, Profile: before.Profile})
	}
	if after != nil {
		action := Update
		if before == nil {
			action = Create
		}
		profile := s.profile(after.Version)
		if report || before == nil || !after.Equal(before) || !profile.Equal(was) {
			changes = append(changes, Change{Action: action, Record: after, Profile: profile})
		}
	}
	if moved && s.versions[before.Version] != nil {
		if profile := s.profile(before.Version); !profile.Equal(was) {
			changes = append(changes, Change{Action: Update, Record: s.lead(before.Version), Profile: profile})
		}
	}
	return changes
}

// elect returns the record that counts for a node id once old is exchanged for fresh, and keeps the others in the
// shadow. Only when the one that counts goes, or gets older, are all the others looked at.
func (s *service) elect(id string, old, fresh *Record) *Record {
	winner := fresh
	if current := s.nodes[id]; current != old {
		s.unshadow(id, old)
		if fresh == nil || current.outranks(fresh) {
			s.shadow(id, fresh)
			return current
		}
		s.shadow(id, current)
		return fresh
	}
	if old != nil && fresh != nil && fresh.outranks(old) {
		return fresh
	}
	for _, r := range s.shadowed[id] {
		if r.outranks(winner) {
			winner = r
		}
	}
	if winner != fresh {
		s.unshadow(id, winner)
		s.shadow(id, fresh)
	}
	return winner
}

func (s *service) shadow(id string, r *Record) {
	if r == nil {
		return
	}
	if s.shadowed == nil {
		s.shadowed = make(map[string]map[string]*Record)
	}
	if s.shadowed[id] == nil {
		s.shadowed[id] = make(map[string]*Record)
	}
	s.shadowed[id][r.Key] = r
}

func (s *service) unshadow(id string, r *Record) {
	if r == nil {
		return
	}
	if delete(s.shadowed[id], r.Key); len(s.shadowed[id]) == 0 {
		delete(s.shadowed, id)
	}
}

func (s *service) join(r *Record) {
	v := s.versions[r.Version]
	if v == nil {
		v = &version{profiles: make(map[*Profile]int, 1), lead: r}
		s.versions[r.Version] = v
	}
	v.profiles[r.Profile]++
	if v.lead != nil && r.newer(v.lead) {
		v.lead = r
	}
}

func (s *service) leave(r *Record) {
	v := s.versions[r.Version]
	if v.profiles[r.Profile]--; v.profiles[r.Profile] == 0 {
		delete(v.profiles, r.Profile)
	}
	if v.lead == r {
		v.lead = nil
	}
	if len(v.profiles) == 0 {
		delete(s.versions, r.Version)
	}
}

// profile returns what the version's leading record says. Records with equal profiles usually share one, so that the
// leader need not be looked for.
func (s *service) profile(name string) *Profile {
	v := s.versions[name]
	if v.lead == nil && len(v.profiles) == 1 {
		for p := range v.profiles {
			return p
		}
	}
	return s.lead(name).Profile
}

func (s *service) lead(name string) *Record {
	v := s.versions[name]
	if v.lead != nil {
		return v.lead
	}
	for _, r := range s.nodes {
		if r.Version == name && r.newer(v.lead) {
			v.lead = r
		}
	}
	return v.lead
}

func (v *version) nodes() int {
	n := 0
	for _, count := range v.profiles {
		n += count
	}
	return n
}
