package record

import (
	"fmt"
	"slices"
	"strings"

	"go-micro.dev/v4/registry"
)

// Text prints a service with its nodes sorted. Two services are the same if their texts are: nil and empty maps, lists
// and values don't differ.
func Text(s *registry.Service) string {
	if s == nil {
		return "a nil service\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s version %q %s\n", s.Name, s.Version, textMap(s.Metadata))
	for _, e := range s.Endpoints {
		if e == nil {
			b.WriteString("  a nil endpoint\n")
			continue
		}
		fmt.Fprintf(
			&b, "  endpoint %s(%s)(%s) %s\n", e.Name, textValue(e.Request), textValue(e.Response), textMap(e.Metadata),
		)
	}
	lines := make([]string, 0, len(s.Nodes))
	for _, n := range s.Nodes {
		if n == nil {
			lines = append(lines, "  a nil node\n")
			continue
		}
		lines = append(lines, fmt.Sprintf("  node %s at %s %s\n", n.Id, n.Address, textMap(n.Metadata)))
	}
	slices.Sort(lines)
	return b.String() + strings.Join(lines, "")
}

func textMap(m map[string]string) string {
	if len(m) == 0 {
		return "map[]"
	}
	return fmt.Sprint(m) // sorted by key
}

func textValue(v *registry.Value) string {
	if v == nil {
		return " "
	}
	parts := make([]string, len(v.Values))
	for i, sub := range v.Values {
		parts[i] = textValue(sub)
	}
	t := v.Name + " " + v.Type
	if len(parts) > 0 {
		t += "{" + strings.Join(parts, ",") + "}"
	}
	return t
}

// Differs says how got is not want, in whatever order they come.
func Differs(got, want []*registry.Service) string {
	g, w := TextAll(got), TextAll(want)
	if g == w {
		return ""
	}
	return fmt.Sprintf("got\n%swant\n%s", g, w)
}

// TextAll prints services, sorted.
func TextAll(services []*registry.Service) string {
	if len(services) == 0 {
		return "nothing\n"
	}
	texts := make([]string, len(services))
	for i, s := range services {
		texts[i] = Text(s)
	}
	slices.Sort(texts)
	return strings.Join(texts, "")
}
