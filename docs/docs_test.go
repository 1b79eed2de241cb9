package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/registry/registrytest"
)

var (
	declared = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z]\w*)\(|^\t\{"([A-Z]\w+)", `)
	named    = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*(?:/[\w/-]+)?…?`)
	row      = regexp.MustCompile(`^\| P\d \|`)
	owed     = regexp.MustCompile(`^Test(?:P(\d)|Registry/)`)
)

// sources returns the Go files below some folders.
func sources(t *testing.T, folders ...string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, folder := range folders {
		require.NoError(t, filepath.WalkDir(folder, func(file string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(file, ".go") {
				return err
			}
			text, err := os.ReadFile(file)
			all[filepath.ToSlash(file)] = string(text)
			return err
		}))
	}
	return all
}

// tests returns the names of all tests here, of the kit's cases and of chaos' scenarios.
func tests(t *testing.T) (all []string) {
	t.Helper()
	for _, c := range registrytest.Cases() {
		all = append(all, "TestRegistry/"+c.Name)
	}
	for file, text := range sources(t, "..") {
		if !strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range declared.FindAllStringSubmatch(text, -1) {
			if strings.Contains(file, "/promises/") {
				require.Regexp(t, "^Test(Main|P[1-7])", m[1], "the name tells the promise")
			}
			if m[1] != "" {
				all = append(all, m[1])
			} else if strings.Contains(file, "/chaos/") {
				all = append(all, "TestScenario/"+m[2])
			}
		}
	}
	return all
}

// A document names a test, cases of one, or with … all tests that begin so. Each promise's row in design.md leads to
// all tests that begin with TestP and its number, and one of the rows to each case of the kit.
func TestDocumentsNameTestsThatExist(t *testing.T) {
	all, rows := tests(t), make(map[string]string) // of a test the rows that lead to it
	pages, err := filepath.Glob("*.md")
	require.NoError(t, err)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			for _, name := range named.FindAllString(line, -1) {
				found := false
				for _, test := range all {
					begin, open := strings.CutSuffix(name, "…")
					if test == name || strings.HasPrefix(test, name+"/") || open && strings.HasPrefix(test, begin) {
						found = true
						rows[test] += row.FindString(line)
					}
				}
				require.True(t, found, "%s names %s, which doesn't exist", page, name)
			}
		}
	}
	for _, test := range all {
		if promise := owed.FindStringSubmatch(test); promise != nil {
			require.Contains(t, rows[test], "| P"+promise[1], "no row of design.md leads to %s", test)
		}
	}
}

var reference = regexp.MustCompile("`((?:\\w+/)*\\w+\\.go): ?(\\w+)`")

// A document names functions as file.go:function, with as much of the file's path as it takes to tell which one.
func TestDocumentsNameFunctionsThatExist(t *testing.T) {
	files := sources(t, "../internal", "../registry")
	for _, page := range []string{"design.md", "upstream.md"} {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range reference.FindAllStringSubmatch(string(text), -1) {
			declares := regexp.MustCompile(`(?m)^(?:func (?:\([^)]*\) )?|type |const |var |\t)` + m[2] + `\b`)
			found := false
			for file, source := range files {
				found = found || strings.HasSuffix(file, "/"+m[1]) && declares.MatchString(source)
			}
			require.True(t, found, "%s names %s, which doesn't exist", page, m[0])
		}
	}
}
