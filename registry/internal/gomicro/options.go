package gomicro

import "context"

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

// Keep puts a value into the context of options, which begin without one.
func Keep(ctx context.Context, key, value any) context.Context {
	if ctx == nil {
		ctx = context.Background()
	}
	return context.WithValue(ctx, key, value)
}

// Kept returns what Keep has put there, and whether it did.
func Kept[T any](ctx context.Context, key any) (v T, ok bool) {
	if ctx != nil {
		v, ok = ctx.Value(key).(T)
	}
	return v, ok
}
