package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitOK       = 0 // done; for doctor: nothing is wrong
	exitNo       = 1 // the answer is no: not found, declined, not done; for doctor: warnings
	exitCritical = 2 // for doctor: something critical
	exitFailed   = 3 // wrong usage, or etcd couldn't be asked
)

const exitCodes = `Exit codes:
  0  done; for doctor: nothing worse than info; for watch, register and ui: ended by Ctrl-C
  1  no: not found, declined, changed meanwhile, or it came back; for doctor: warnings
  2  doctor found something critical; an etcd that can't be reached is
  3  wrong usage or configuration, etcd couldn't be asked, or interrupted meanwhile`

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer

	asks     bool                                  // in is a terminal, so somebody can be asked
	progress bool                                  // err is a terminal
	password func(context.Context) ([]byte, error) // reads one without echo, unless the context ends before
}

// app is what the commands share.
type app struct {
	streams
	flags flags
}

// exit is an error that only says how to end. What there is to say was said, unless it wraps an error.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string {
	if e.err == nil {
		return fmt.Sprint("exit code ", e.code)
	}
	return e.err.Error()
}

func (e exit) Unwrap() error { return e.err }

// no ends a command whose answer is no.
func no(format string, args ...any) error { return exit{exitNo, fmt.Errorf(format, args...)} }

// ending is how an error ends a command.
func ending(err error) exit {
	end := exit{code: exitFailed, err: err}
	errors.As(err, &end)
	return end
}

// both makes one error of two, with the higher of their codes.
func both(x, y error) error {
	switch {
	case x == nil:
		return y
	case y == nil:
		return x
	}
	return exit{max(ending(x).code, ending(y).code), fmt.Errorf("%w; %w", x, y)}
}

// run executes a command line and returns its exit code.
func run(ctx context.Context, args []string, s streams) int {
	a := &app{streams: s}
	root := newRoot(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	end := ending(err)
	if end.err != nil {
		fmt.Fprintln(a.err, "micro-etcd:", harmless(end.err.Error()))
	}
	return end.code
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "micro-etcd",
		Short: "Look into go-micro's registry in etcd, and mend it",
		Long: `micro-etcd shows what go-micro services have registered in etcd, mends it by hand, and says what
is wrong. It connects as the registry does: the same addresses, environment, TLS and errors.`,
		Version: version(),
		Args:    knownCommand,
		RunE:    showHelp, // without it cobra helps before it looks at the arguments

		SilenceErrors:              true,
		SilenceUsage:               true,
		DisableAutoGenTag:          true,
		DisableFlagsInUseLine:      true,
		SuggestionsMinimumDistance: 2,
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetHelpTemplate(root.HelpTemplate() + "\n" + exitCodes + "\n") // each command's help inherits it
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return misused(cmd, "%w", err) })
	a.flags.add(root)
	root.AddCommand(
		newServices(a), newNodes(a), newShow(a), newWatch(a),
		newRegister(a), newDeregister(a), newDoctor(a), newUI(a), newVersion(a),
	)
	addBuiltins(root)
	return root
}
