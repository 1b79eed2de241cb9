package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// Format is what the flag --output takes: table, json or yaml.
type Format string

// AddFlag adds the flag to a command. All commands may share one format.
func (f *Format) AddFlag(cmd *cobra.Command) {
	cmd.Flags().StringVarP((*string)(f), "output", "o", "table", "table, json or yaml")
	formats := cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp)
	_ = cmd.RegisterFlagCompletionFunc("output", formats) // fails for an unknown flag only
}

// Check returns an error about a format that there isn't.
func (f *Format) Check() error {
	if *f != "table" && *f != "json" && *f != "yaml" {
		return fmt.Errorf("--output %q is not table, json or yaml", *f)
	}
	return nil
}

// Print writes v as JSON or YAML if that is the format, else what the table function writes.
func (f *Format) Print(w io.Writer, v any, table func(io.Writer) error) error {
	switch *f {
	case "json":
		return JSON(w, v, "  ")
	case "yaml":
		return YAML(w, v)
	}
	return table(w)
}

// JSON writes a value as JSON and a line break; without an indent on one line.
func JSON(w io.Writer, v any, indent string) error {
	text, err := encode(v, indent)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, escapeUnprintable(text, func(r rune) string {
		if r > 0xffff {
			r -= 0x10000
			return fmt.Sprintf(`\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
		return fmt.Sprintf(`\u%04x`, r)
	}))
	return err
}

func encode(v any, indent string) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	err := e.Encode(v)
	return b.String(), err
}

// escapeUnprintable escapes what a terminal might take for a command: both JSON and YAML leave more as it is than a
// terminal can bear.
func escapeUnprintable(text string, escape func(rune) string) string {
	var b strings.Builder
	for _, r := range text {
		if r == '\n' || strconv.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(escape(r))
		}
	}
	return b.String()
}

// YAML writes a value as YAML, with the names and the order of its JSON.
func YAML(w io.Writer, v any) error {
	text, err := encode(v, "")
	if err != nil {
		return err
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	node, err := yamlNode(d)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(node); err != nil {
		return err
	}
	if err := e.Close(); err != nil {
		return err
	}
	_, err = io.WriteString(w, escapeUnprintable(b.String(), func(r rune) string { return fmt.Sprintf(`\U%08X`, r) }))
	return err
}

// yamlNode turns the next JSON value into a YAML node. A text with characters that a terminal can't bear gets double
// quotes, within which they can be escaped.
func yamlNode(d *json.Decoder) (*yaml.Node, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		node := &yaml.Node{Kind: yaml.MappingNode}
		if t == '[' {
			node.Kind = yaml.SequenceNode
		}
		for d.More() {
			for range 2 {
				child, err := yamlNode(d)
				if err != nil {
					return nil, err
				}
				node.Content = append(node.Content, child)
				if t == '[' {
					break
				}
			}
		}
		if len(node.Content) == 0 {
			node.Style = yaml.FlowStyle
		}
		_, err := d.Token()
		return node, err
	case string:
		node := &yaml.Node{}
		node.SetString(t)
		if !isPrintable(t) {
			node.Style = yaml.DoubleQuotedStyle
		}
		return node, nil
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: t.String()}, nil
	}
	node := &yaml.Node{}
	err = node.Encode(token)
	return node, err
}

func isPrintable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) })
}
