package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func addYes(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVarP(yes, "yes", "y", false, "don't ask, for scripts")
}

var errNobody = errors.New("nobody to ask: standard input is no terminal; --yes does it without asking")

// confirm asks whether to do what was said, unless --yes was given. When it is declined, which it is when
// ctx ends, the error says what was done: nothing.
func (a *app) confirm(ctx context.Context, question, nothing string, yes bool) error {
	if yes {
		return nil
	}
	if !a.asks {
		return errNobody
	}
	fmt.Fprintf(a.err, "%s [y/N] ", question)
	answer, err := await(ctx, func() (string, error) { return bufio.NewReader(a.in).ReadString('\n') })
	if err != nil {
		fmt.Fprintln(a.err)
		return no("%s", nothing)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return no("%s", nothing)
}
