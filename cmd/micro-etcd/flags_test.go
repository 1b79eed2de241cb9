package main

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/etcdtest"
	"github.com/micro-etcd/micro-etcd/test/auth"
)

func TestAFormatIsForCommandsThatPrintInIt(t *testing.T) {
	var with []string
	for _, cmd := range newRoot(&app.App{}).Commands() {
		if cmd.Flags().Lookup("output") != nil {
			with = append(with, cmd.Name())
		}
	}
	require.ElementsMatch(t, []string{"services", "nodes", "show", "watch", "doctor", "check"}, with)
	out, _ := must(t, app.ExitOK, etcdtest.Start(t), "-o", "json", "services")
	require.Equal(t, "[]\n", out, "it may come first, too")
}

func TestUsageIsAnErrorThatNamesTheCulprit(t *testing.T) {
	for want, args := range map[string][]string{
		"unknown flag: --nope":                  {"services", "--nope"},
		"unknown command":                       {"nope"},
		`it is table, json, yaml, wide or name`: {"services", "-o", "xml"},
		`shorthand flag: 'o' in -o`:             {"ui", "-o", "json"},
		"unknown flag: --output":                {"deregister", "--output", "json", "greeter", "80"},
		"--prefix is empty":                     {"doctor", "--prefix", ""},
		"not positive":                          {"services", "--timeout", "0s"},
		`invalid address "a:b:c"`:               {"services", "--registry-address", "a:b:c"},
		"can be read by everybody":              {"services", "--user", "root:secret"},
		"no password for user":                  {"services", "--username", "root"},
		"needs --user":                          {"services", "--password-file", "/dev/null"},
		"is empty":                              {"services", "--user", "root", "--password-file", "/dev/null"},
		"belong together":                       {"services", "--cert", "c.pem"},
		"/no/such.pem":                          {"services", "--cacert", "/no/such.pem"},
		"plain, but TLS is asked for":           {"services", "--secure", "-a", "http://h:1"},
	} {
		_, said := must(t, app.ExitFailed, nil, args...)
		require.Contains(t, said, want)
		require.NotContains(t, said, "secret")
	}
}

func TestAUserIsKnownByFlagFileEnvironmentOrPrompt(t *testing.T) {
	srv := etcdtest.Start(t, cheapPasswords)
	auth.Enable(t, srv.Client(t), "hunter2")

	_, said := must(t, app.ExitFailed, srv, "services")
	require.Contains(t, said, "user name is empty")
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte("hunter2\n"), 0o600))
	must(t, app.ExitOK, srv, "services", "--user", "root", "--password-file", file)
	r := start(t, srv, strings.NewReader("hunter2"), "services", "--user", "root")
	require.Equal(t, app.ExitOK, r.wait())
	require.NotContains(t, r.err.String(), "hunter2")

	t.Setenv("ETCD_USERNAME", "root")
	_, said = must(t, app.ExitFailed, srv, "services")
	require.Contains(t, said, "ETCD_USERNAME is set, ETCD_PASSWORD isn't")
	r = start(t, srv, strings.NewReader("hunter2"), "services")
	require.Equal(t, app.ExitOK, r.wait())
	require.Contains(t, r.err.String(), "Password of root: ")
	must(t, app.ExitOK, srv, "services", "--password-file", file)
	out, _ := must(t, app.ExitOK, srv, "__complete", "nodes", "")
	require.True(t, strings.HasPrefix(out, ":"), "completion never asks")
	t.Setenv("ETCD_PASSWORD", "hunter2")
	must(t, app.ExitOK, srv, "services")
	t.Setenv("MICRO_REGISTRY_ADDRESS", srv.Endpoint())
	must(t, app.ExitOK, nil, "services")
	t.Setenv("ETCD_PASSWORD", "wrong")
	_, said = must(t, app.ExitFailed, srv, "services")
	require.Contains(t, said, "authentication failed")
}

func TestTheDocumentationKnowsEveryCommandAndFlag(t *testing.T) {
	pages := make(map[string]string)
	for of, name := range map[string]string{"": "command", "ui": "page", "dns": "dns"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", name+".md"))
		require.NoError(t, err)
		pages[of] = string(text)
	}
	root := newRoot(&app.App{})
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { require.Contains(t, pages[""], "`--"+f.Name+"`") })
	for _, cmd := range root.Commands() {
		if !cmd.Hidden {
			text := cmp.Or(pages[cmd.Name()], pages[""])
			require.Regexp(t, `micro-etcd `+cmd.Name()+`\b`, text)
			cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { require.Regexp(t, `--`+f.Name+`\b`, text, cmd.Name()) })
			require.NotEmpty(t, cmd.Example, cmd.Name())
			help, _ := must(t, app.ExitOK, nil, cmd.Name(), "--help")
			require.Contains(t, help, cmd.Example)
			require.Contains(t, help, app.ExitCodes)
		}
	}
}

func TestTheDocumentationHasTheExitCodesOfHelp(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "command.md"))
	require.NoError(t, err)
	text := strings.ReplaceAll(string(page), "`", "")
	for _, line := range strings.Split(app.ExitCodes, "\n")[1:] {
		code, meaning, _ := strings.Cut(strings.TrimSpace(line), "  ")
		require.Contains(t, text, "| "+code+" | "+meaning+" |\n")
	}
}

// allCommands are root and what is below it.
func allCommands(root *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{root}
	for _, cmd := range root.Commands() {
		all = append(all, allCommands(cmd)...)
	}
	return all
}

func TestNoFlagOfACommandHidesOneOfAllCommands(t *testing.T) {
	root := newRoot(&app.App{})
	root.InitDefaultCompletionCmd("x")
	shared := root.PersistentFlags()
	for _, cmd := range allCommands(root)[1:] {
		cmd.InitDefaultHelpFlag()
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			require.Nil(t, shared.Lookup(f.Name), "%s --%s", cmd.CommandPath(), f.Name)
			if f.Shorthand != "" {
				require.Nil(t, shared.ShorthandLookup(f.Shorthand), "%s -%s", cmd.CommandPath(), f.Shorthand)
			}
		})
	}
}
