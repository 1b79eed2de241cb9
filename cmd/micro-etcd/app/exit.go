package app

import (
	"errors"
	"fmt"
)

// Exit codes.
const (
	ExitOK       = 0 // done; for doctor: nothing is wrong; for check: all nodes answer
	ExitNo       = 1 // the answer is no: not found, declined, not done; for doctor: warnings; for check: some nodes fail
	ExitCritical = 2 // for doctor: something critical; for check: a service has no node that answers
	ExitFailed   = 3 // wrong usage, or etcd couldn't be asked
)

// ExitCodes says in the help what they mean.
const ExitCodes = `Exit codes:
  0  done; for doctor: nothing worse than info; for check: all nodes answer; for what goes on until Ctrl-C: ended by it
  1  no: not found, declined, changed meanwhile, half is out, came back; for doctor: warnings; for check: some fail
  2  doctor found something critical; an etcd that can't be reached is; for check: a service has no node that answers
  3  wrong usage or configuration, etcd couldn't be asked, or interrupted meanwhile`

// Error is an error that only says how to end. What there is to say was said, unless it wraps an error.
type Error struct {
	Code int
	Err  error
}

func (e Error) Error() string {
	if e.Err == nil {
		return fmt.Sprint("exit code ", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns the error that says more, or nil.
func (e Error) Unwrap() error { return e.Err }

// No ends a command whose answer is no.
func No(format string, args ...any) error { return Error{ExitNo, fmt.Errorf(format, args...)} }

// ExitOf is how an error ends a command.
func ExitOf(err error) Error {
	end := Error{Code: ExitFailed, Err: err}
	errors.As(err, &end)
	return end
}

// Join makes one error of two, with the higher of their codes.
func Join(x, y error) error {
	switch {
	case x == nil:
		return y
	case y == nil:
		return x
	}
	ex, ey := ExitOf(x), ExitOf(y)
	code := max(ex.Code, ey.Code)
	switch {
	case ex.Err == nil:
		return Error{code, ey.Err}
	case ey.Err == nil:
		return Error{code, ex.Err}
	}
	return Error{code, fmt.Errorf("%w; %w", x, y)}
}
