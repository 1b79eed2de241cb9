package app

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
)

// Labels select nodes by their metadata, all of them together: key=value, key==value, key!=value, key and !key, as
// kubectl has it. Texts may be given as they are shown.
type Labels []string

// AddFlag adds the flag to a command.
func (l *Labels) AddFlag(cmd *cobra.Command) {
	cmd.Flags().StringSliceVarP(
		(*[]string)(l), "label", "l", nil, "nodes with this metadata: key=value, key!=value, key or !key; repeatable",
	)
}

// Check returns what is wrong with them.
func (l Labels) Check() error {
	for _, text := range l {
		if key, _, _ := parseLabel(text); key == "" {
			return fmt.Errorf("--label %q has no key", text)
		}
	}
	return nil
}

// Match reports whether a node with some metadata is selected.
func (l Labels) Match(metadata map[string]string) bool {
	return !slices.ContainsFunc(l, func(text string) bool {
		key, value, not := parseLabel(text)
		return isLabeled(metadata, key, value) == not
	})
}

// String names them after "node".
func (l Labels) String() string {
	if len(l) == 0 {
		return ""
	}
	return " with " + strings.Join(l, ",")
}

// parseLabel parses one. Without a value, any will do.
func parseLabel(text string) (key string, value *string, not bool) {
	key, rest, found := strings.Cut(text, "=")
	if !found {
		key, not = strings.CutPrefix(key, "!")
		return key, nil, not
	}
	key, not = strings.CutSuffix(key, "!")
	rest = strings.TrimPrefix(rest, "=")
	return key, &rest, not
}

func isLabeled(metadata map[string]string, key string, value *string) bool {
	for _, k := range output.Spellings(key) {
		if has, ok := metadata[k]; ok && (value == nil || slices.Contains(output.Spellings(*value), has)) {
			return true
		}
	}
	return false
}
