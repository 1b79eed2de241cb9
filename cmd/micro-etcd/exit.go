package main

import (
	"errors"
	"fmt"
)

// Exit codes.
const (
	exitOK       = 0 // done; for doctor: nothing is wrong; for check: all nodes answer
	exitNo       = 1 // the answer is no: not found, declined, not done; for doctor: warnings; for check: some nodes fail
	exitCritical = 2 // for doctor: something critical; for check: a service has no node that answers
	exitFailed   = 3 // wrong usage, or etcd couldn't be asked
)

const exitCodes = `Exit codes:
  0  done; for doctor: nothing worse than info; for check: all nodes answer; for watch, register and ui: ended by Ctrl-C
  1  no: not found, declined, changed meanwhile, half is out, came back; for doctor: warnings; for check: some fail
  2  doctor found something critical; an etcd that can't be reached is; for check: a service has no node that answers
  3  wrong usage or configuration, etcd couldn't be asked, or interrupted meanwhile`

// exitError is an error that only says how to end. What there is to say was said, unless it wraps an error.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string {
	if e.err == nil {
		return fmt.Sprint("exit code ", e.code)
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

// no ends a command whose answer is no.
func no(format string, args ...any) error { return exitError{exitNo, fmt.Errorf(format, args...)} }

// exitOf is how an error ends a command.
func exitOf(err error) exitError {
	end := exitError{code: exitFailed, err: err}
	errors.As(err, &end)
	return end
}

// join makes one error of two, with the higher of their codes.
func join(x, y error) error {
	switch {
	case x == nil:
		return y
	case y == nil:
		return x
	}
	return exitError{max(exitOf(x).code, exitOf(y).code), fmt.Errorf("%w; %w", x, y)}
}
