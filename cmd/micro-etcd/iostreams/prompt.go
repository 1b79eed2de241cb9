package iostreams

import (
	"context"
	"errors"

	"golang.org/x/term"
)

// await returns what read returns, or ctx's cause if ctx ends before. Nothing can interrupt a read from a terminal, so
// it may then go on until the process ends.
func await[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		value, err := read()
		answered <- answer{value, err}
	}()
	select {
	case a := <-answered:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// readPassword reads a line from a terminal without echo. The terminal is as before when it returns.
func readPassword(ctx context.Context, terminal int) ([]byte, error) {
	before, err := term.GetState(terminal)
	if err != nil {
		return nil, err
	}
	password, err := await(ctx, func() ([]byte, error) { return term.ReadPassword(terminal) })
	if ctx.Err() != nil {
		err = errors.Join(err, term.Restore(terminal, before))
	}
	return password, err
}
