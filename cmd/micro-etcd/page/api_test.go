package page

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheAPIIsTheDocumentedOne: programs rely on it, so a field that goes, or gets another name or type, is a breaking
// change.
func TestTheAPIIsTheDocumentedOne(t *testing.T) {
	data, err := os.ReadFile("../../../docs/page.md")
	require.NoError(t, err)
	_, after, found := strings.Cut(string(data), "<!-- api -->\n")
	require.True(t, found)
	documented, _, _ := strings.Cut(after, "\n<!-- end of api -->")

	lines := []string{"| object | fields |", "|---|---|"}
	for _, message := range []any{
		snapshot{},
		delta{},
		datacenter{},
		summary{},
		version{},
		event{},
		health{},
		member{},
		detail{},
		node{},
		outOf{},
		versionDetail{},
		endpoint{},
		target{},
	} {
		lines = append(lines, fieldsOf(reflect.TypeOf(message)))
	}
	require.Equal(t, strings.Join(lines, "\n"), documented)
}

func fieldsOf(of reflect.Type) string {
	var fields []string
	for field := range of.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		fields = append(fields, "`"+name+"` "+typeName(field.Type))
	}
	return fmt.Sprintf("| %s | %s |", of.Name(), strings.Join(fields, ", "))
}

func typeName(of reflect.Type) string {
	switch {
	case of == reflect.TypeFor[history]():
		return "history"
	case of == reflect.TypeFor[[][2]string]():
		return "[key, value][]"
	}
	switch of.Kind() {
	case reflect.Pointer:
		return typeName(of.Elem())
	case reflect.Slice:
		return typeName(of.Elem()) + "[]"
	case reflect.Struct:
		return of.Name()
	case reflect.Map:
		return "object"
	case reflect.Int, reflect.Int64:
		return "number"
	case reflect.Bool:
		return "boolean"
	}
	return of.Kind().String()
}
