package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
)

// addBuiltins adds the commands that cobra would add itself, but has them refuse unknown names: cobra answers those
// with a help text and success.
func addBuiltins(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Example = "  micro-etcd help nodes"
			cmd.Args = knownTopic
		case "completion":
			cmd.Example = "  source <(micro-etcd completion bash)"
			cmd.Args = knownShell
			cmd.RunE = showHelp // without it cobra helps before it looks at the arguments
			cmd.DisableFlagsInUseLine = true
			for _, shell := range cmd.Commands() {
				shell.Args = app.NoArgs
			}
		}
	}
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// knownCommand is for the root, which gets as arguments what is no command.
func knownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	similar := root.SuggestionsFor(args[0])
	if len(similar) == 0 {
		return app.UsageError(root, "unknown command %q", args[0])
	}
	return fmt.Errorf(
		"unknown command %q; did you mean %s? See %s --help", args[0], strings.Join(similar, " or "), root.CommandPath(),
	)
}

func knownTopic(cmd *cobra.Command, args []string) error {
	topic, rest, err := cmd.Root().Find(args)
	if err != nil || topic == cmd.Root() {
		return knownCommand(cmd.Root(), rest)
	}
	return nil
}

func knownShell(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var shells []string
	for _, shell := range cmd.Commands() {
		shells = append(shells, shell.Name())
	}
	return app.UsageError(cmd, "unknown shell %q, want %s", args[0], strings.Join(shells, ", "))
}
