package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/change"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/iostreams"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
)

// run executes a command line and returns its exit code.
func run(ctx context.Context, args []string, s iostreams.Streams) int {
	a := &app.App{Streams: s}
	root := newRoot(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return app.ExitOK
	}
	end := app.ExitOf(err)
	if end.Err != nil {
		fmt.Fprintln(a.Err, "micro-etcd:", output.Sanitize(end.Err.Error()))
	}
	return end.Code
}

func newRoot(a *app.App) *cobra.Command {
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
	root.SetHelpTemplate(root.HelpTemplate() + "\n" + app.ExitCodes + "\n") // each command's help inherits it
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return app.UsageError(cmd, "%w", err) })
	a.Flags.Add(root)
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if err := a.List.Labels.Check(); err != nil {
			return err
		}
		return a.Flags.Check()
	}
	root.AddCommand(
		newServices(a), newNodes(a), newShow(a), newWatch(a), newCheck(a), newCall(a),
		change.NewRegister(a), change.NewDeregister(a), change.NewDrain(a), change.NewUndrain(a),
		newDoctor(a), newUI(a), newDNS(a), newVersion(a),
	)
	addBuiltins(root)
	return root
}
