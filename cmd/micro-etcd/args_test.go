package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
)

func TestAMisusedCommandSaysWhatItTakesInOneLine(t *testing.T) {
	for line, want := range map[string]string{
		"nodes":                       "give a SERVICE; see micro-etcd nodes --help",
		"nodes a b":                   "nodes takes one SERVICE; see micro-etcd nodes --help",
		"show":                        "give a SERVICE; see micro-etcd show --help",
		"watch a b":                   "watch takes one SERVICE at most; see micro-etcd watch --help",
		"check a b":                   "check takes one SERVICE at most; see micro-etcd check --help",
		"check --path /x":             "--path is for --type http; see micro-etcd check --help",
		"services extra":              "services takes no arguments; see micro-etcd services --help",
		"doctor x":                    "doctor takes no arguments; see micro-etcd doctor --help",
		"ui x":                        "ui takes no arguments; see micro-etcd ui --help",
		"version x":                   "version takes no arguments; see micro-etcd version --help",
		"register x":                  "register takes no arguments; see micro-etcd register --help",
		"register --service x":        "give --address, --node; see micro-etcd register --help",
		"deregister a":                "give a SERVICE and either a NODE, --version and --label, or --all; see micro-etcd deregister --help",
		"deregister a b c":            "give a SERVICE and either a NODE, --version and --label, or --all; see micro-etcd deregister --help",
		"deregister --record-key k a": "--record-key is instead of a SERVICE and nodes; see micro-etcd deregister --help",
		"services --nope":             "unknown flag: --nope; see micro-etcd services --help",
		"service":                     `unknown command "service"; did you mean services? See micro-etcd --help`,
		"help service":                `unknown command "service"; did you mean services? See micro-etcd --help`,
		"nope":                        `unknown command "nope"; did you mean nodes? See micro-etcd --help`,
		"frobnicate":                  `unknown command "frobnicate"; see micro-etcd --help`,
		"completion tcsh":             `unknown shell "tcsh", want bash, fish, powershell, zsh; see micro-etcd completion --help`,
		"completion bash x":           "bash takes no arguments; see micro-etcd completion bash --help",
	} {
		out, said := must(t, app.ExitFailed, nil, strings.Fields(line)...)
		require.Empty(t, out, line)
		require.Equal(t, "micro-etcd: "+want+"\n", said)
	}
}

// A script's unset variable must not mean everything.
func TestAnEmptyNameIsInvalid(t *testing.T) {
	for want, lines := range map[string][][]string{
		`invalid service name ""`: {
			{"nodes", ""},
			{"show", ""},
			{"watch", ""},
			{"check", ""},
			{"deregister", "", "y", "--yes"},
			{"doctor", "--service", ""},
		},
		`invalid node id ""`: {{"deregister", "x", "", "--yes"}},
	} {
		for _, line := range lines {
			_, said := must(t, app.ExitFailed, nil, line...)
			require.Equal(t, "micro-etcd: "+want+"\n", said, line)
		}
	}
}

func TestHelpAndVersionAreAnsweredWhicheverWayTheyAreAskedFor(t *testing.T) {
	for want, lines := range map[string][]string{
		"micro-etcd [command]":       {"", "help", "--help"},
		"micro-etcd nodes SERVICE":   {"help nodes", "nodes --help"},
		"micro-etcd completion bash": {"help completion bash", "completion bash --help", "completion"},
		"micro-etcd version ":        {"version", "--version"},
	} {
		for _, line := range lines {
			out, said := must(t, app.ExitOK, nil, strings.Fields(line)...)
			require.Contains(t, out, want, line)
			require.Empty(t, said)
		}
	}
}

func TestRegisterSaysThatAnAddressIsNone(t *testing.T) {
	_, said := must(
		t, app.ExitFailed, nil, "register", "--service", "x", "--node", "y", "--address", "foo", "--ttl", "0", "--yes",
	)
	require.Equal(t, "micro-etcd: --address \"foo\" is not host:port\n", said)
}
