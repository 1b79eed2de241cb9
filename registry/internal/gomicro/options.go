package gomicro

// Gather adds options to o, and reports whether none of them is nil. Those that aren't count in any case.
func Gather[T any, O ~func(*T)](o T, opts []O) (all T, ok bool) {
	ok = true
	for _, opt := range opts {
		if opt == nil {
			ok = false
			continue
		}
		opt(&o)
	}
	return o, ok
}
