package app

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

// UsageError is an error about a command line, and says where the right one is described.
func UsageError(cmd *cobra.Command, format string, args ...any) error {
	return fmt.Errorf(format+"; see %s --help", append(args, cmd.CommandPath())...)
}

// NoArgs is for a command that takes none.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return UsageError(cmd, "%s takes no arguments", cmd.Name())
	}
	return nil
}

// OneService is for a command about one service.
func OneService(cmd *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return UsageError(cmd, "give a SERVICE")
	case 1:
		return CheckService(args[0])
	}
	return UsageError(cmd, "%s takes one SERVICE", cmd.Name())
}

// OneServiceOrAll is for a command about one service, or without an argument about all.
func OneServiceOrAll(cmd *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return nil
	case 1:
		return CheckService(args[0])
	}
	return UsageError(cmd, "%s takes one SERVICE at most", cmd.Name())
}

// OneServiceAndNode is for a command about one service, and maybe about one of its nodes.
func OneServiceAndNode(cmd *cobra.Command, args []string) error {
	if len(args) != 2 {
		return OneService(cmd, args)
	}
	return CheckService(args[0])
}

// CheckService refuses the empty name, which means all services where records are read: that is hardly what a script
// wants whose variable isn't set.
func CheckService(name string) error {
	if name == "" {
		return fmt.Errorf("%w %q", etcd.ErrServiceName, name)
	}
	return nil
}

// RequireFlags is cobra's check of required flags in our words.
func RequireFlags(cmd *cobra.Command) error {
	var missing []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Annotations[cobra.BashCompOneRequiredFlag] != nil && !f.Changed {
			missing = append(missing, "--"+f.Name)
		}
	})
	if len(missing) > 0 {
		return UsageError(cmd, "give %s", strings.Join(missing, ", "))
	}
	return nil
}
