// Micro-etcd shows what go-micro services have registered in etcd, mends it by hand, and says what
// is wrong.
package main

import (
	"os"

	"github.com/spf13/cobra"
)

func main() {
	if err := newRoot().Execute(); err != nil {
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{Use: "micro-etcd", Short: "Look into go-micro's registry in etcd"}
	root.AddCommand(newUI())
	return root
}
