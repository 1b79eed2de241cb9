package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// usageError is an error about a command line, and says where the right one is described.
func usageError(cmd *cobra.Command, format string, args ...any) error {
	return fmt.Errorf(format+"; see %s --help", append(args, cmd.CommandPath())...)
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError(cmd, "%s takes no arguments", cmd.Name())
	}
	return nil
}

func oneService(cmd *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return usageError(cmd, "give a SERVICE")
	case 1:
		return checkService(args[0])
	}
	return usageError(cmd, "%s takes one SERVICE", cmd.Name())
}

func oneServiceOrAll(cmd *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return nil
	case 1:
		return checkService(args[0])
	}
	return usageError(cmd, "%s takes one SERVICE at most", cmd.Name())
}

// checkService refuses the empty name, which means all services where records are read: that is hardly what a script
// wants whose variable isn't set.
func checkService(name string) error {
	if name == "" {
		return fmt.Errorf("%w %q", etcd.ErrServiceName, name)
	}
	return nil
}

// requireFlags is cobra's check of required flags in our words.
func requireFlags(cmd *cobra.Command) error {
	var missing []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Annotations[cobra.BashCompOneRequiredFlag] != nil && !f.Changed {
			missing = append(missing, "--"+f.Name)
		}
	})
	if len(missing) > 0 {
		return usageError(cmd, "give %s", strings.Join(missing, ", "))
	}
	return nil
}
