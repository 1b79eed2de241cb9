package page

import (
	"strings"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

const (
	maxDepth  = 6
	maxFields = 200
)

// signature writes a request's or a response's type as Go would, a field a line.
func signature(v *catalog.Value) string {
	if v == nil {
		return ""
	}
	w := signatureWriter{left: maxFields}
	w.write(v.Type, v.Values, 0)
	return w.text.String()
}

type signatureWriter struct {
	text strings.Builder
	left int // fields that may still be written
}

func (w *signatureWriter) write(kind string, fields []*catalog.Value, depth int) {
	w.text.WriteString(label(kind))
	if len(fields) == 0 {
		return
	}
	indent := strings.Repeat("  ", depth)
	w.text.WriteString(" {\n")
	for _, f := range fields {
		if w.left--; w.left < 0 || depth == maxDepth {
			w.text.WriteString(indent + "  …\n")
			break
		}
		if f == nil {
			continue
		}
		w.text.WriteString(indent + "  ")
		if f.Name != f.Type { // go-micro knows the names of fields with a JSON tag only, and repeats the type else
			w.text.WriteString(label(f.Name) + " ")
		}
		w.write(f.Type, f.Values, depth+1)
		w.text.WriteString("\n")
	}
	w.text.WriteString(indent + "}")
}
