package output

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// Format is what the flag --output takes. All commands may share one.
type Format string

// What all commands with the flag have. The default is Table.
const (
	Table  Format = "table"
	AsJSON Format = "json"
	AsYAML Format = "yaml"
)

// What those have that list something.
const (
	Wide Format = "wide" // a table with all columns
	Name Format = "name" // names, one on a line
)

// AddFlag adds the flag to a command that prints a table, JSON or YAML, or in one of more formats.
func (f *Format) AddFlag(cmd *cobra.Command, more ...Format) {
	*f = Table
	v := &formatValue{f, append([]Format{Table, AsJSON, AsYAML}, more...)}
	cmd.Flags().VarP(v, "output", "o", v.names())
	var names []string
	for _, one := range v.known {
		names = append(names, string(one))
	}
	formats := cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp)
	_ = cmd.RegisterFlagCompletionFunc("output", formats) // fails for an unknown flag only
}

// formatValue is the flag of one command.
type formatValue struct {
	format *Format
	known  []Format
}

func (v *formatValue) String() string { return string(*v.format) }

func (v *formatValue) Type() string { return "format" }

func (v *formatValue) Set(text string) error {
	if !slices.Contains(v.known, Format(text)) {
		return errors.New("it is " + v.names())
	}
	*v.format = Format(text)
	return nil
}

// names is "table, json or yaml".
func (v *formatValue) names() string {
	var b strings.Builder
	for i, one := range v.known {
		switch {
		case i > 0 && i == len(v.known)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(one))
	}
	return b.String()
}

// Print writes v as JSON or YAML if that is the format, and else what the table function writes.
func (f *Format) Print(w io.Writer, v any, table func(io.Writer) error) error {
	switch *f {
	case AsJSON:
		return JSON(w, v, "  ")
	case AsYAML:
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
