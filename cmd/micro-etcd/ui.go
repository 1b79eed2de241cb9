package main

import "github.com/spf13/cobra"

// newUI returns the web page's command.
func newUI(*app) *cobra.Command {
	return &cobra.Command{Use: "ui", Short: "Show it in a web page", Hidden: true}
}
