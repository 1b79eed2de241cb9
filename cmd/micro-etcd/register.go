package main

import "github.com/spf13/cobra"

func newRegister(*app) *cobra.Command   { return &cobra.Command{Use: "register"} }
func newDeregister(*app) *cobra.Command { return &cobra.Command{Use: "deregister"} }
func newDoctor(*app) *cobra.Command     { return &cobra.Command{Use: "doctor"} }
func newWatch(*app) *cobra.Command      { return &cobra.Command{Use: "watch"} }
