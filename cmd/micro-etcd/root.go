package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/iostreams"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
)

// run executes a command line and returns its exit code.
func run(ctx context.Context, args []string, s iostreams.Streams) int {
	a := &app{Streams: s}
	root := newRoot(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	end := exitOf(err)
	if end.err != nil {
		fmt.Fprintln(a.Err, "micro-etcd:", output.Sanitize(end.err.Error()))
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
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	root.SetHelpTemplate(root.HelpTemplate() + "\n" + exitCodes + "\n") // each command's help inherits it
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, "%w", err) })
	a.flags.Add(root)
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if err := a.format.Check(); err != nil {
			return err
		}
		return a.flags.Check()
	}
	root.AddCommand(
		newServices(a), newNodes(a), newShow(a), newWatch(a), newCheck(a),
		newRegister(a), newDeregister(a), newDrain(a), newUndrain(a), newDoctor(a), newUI(a), newVersion(a),
	)
	addBuiltins(root)
	return root
}
