package fleet

import (
	"fmt"
	"strings"
)

// KeyValues reads key=value as it was given repeatedly, to select by a node's metadata or to set it. The error names
// the flag.
func KeyValues(flag string, texts []string) (map[string]string, error) {
	values := make(map[string]string)
	for _, text := range texts {
		key, value, found := strings.Cut(text, "=")
		if !found || key == "" {
			return nil, fmt.Errorf("%s %q is not key=value", flag, text)
		}
		if before, twice := values[key]; twice && before != value {
			return nil, fmt.Errorf("%s %q contradicts %q", flag, text, key+"="+before)
		}
		values[key] = value
	}
	return values, nil
}
