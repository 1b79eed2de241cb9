package interop

import (
	"context"
	"encoding/base64"
	"errors"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// commands returns what a page of the documentation has in sh blocks below a heading.
func commands(tb testing.TB, page, heading string) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
	require.NoError(tb, err)
	_, section, found := strings.Cut("\n"+string(text), "\n## "+heading+"\n")
	require.True(tb, found, "%s has a heading %q", page, heading)
	section, _, _ = strings.Cut(section, "\n## ")
	var blocks []string
	for _, part := range strings.Split(section, "\n```sh\n")[1:] {
		block, _, closed := strings.Cut(part, "\n```\n")
		require.True(tb, closed)
		blocks = append(blocks, block)
	}
	require.NotEmpty(tb, blocks, "%s has commands below %q", page, heading)
	return strings.Join(blocks, "\n")
}

// shell runs commands as a reader of the documentation would, with etcdctl at hand.
func shell(tb testing.TB, script string, env ...string) string {
	tb.Helper()
	tools := tb.TempDir()
	for tool, name := range map[string]string{"etcdctl": "etcdctl36", "etcd": "etcd36", "etcdutl": "etcdutl36"} {
		require.NoError(tb, os.Symlink(binary(tb, name), filepath.Join(tools, tool)))
	}
	cmd := exec.CommandContext(context.Background(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = tools
	cmd.Env = append(append(os.Environ(), env...), "PATH="+tools+":"+os.Getenv("PATH"), "ETCDCTL_COMMAND_TIMEOUT=1m")
	out, err := cmd.CombinedOutput()
	require.NoError(tb, err, "%s\n%s", script, out)
	return string(out)
}

// Whoever adds a line to the log or an error explains it to those who will meet it.
func TestOperationsExplainsEveryLogLineAndError(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	require.NoError(t, err)
	sources, err := filepath.Glob(filepath.Join("..", "..", "registry", "etcd", "*.go"))
	require.NoError(t, err)
	inner, err := filepath.Glob(filepath.Join("..", "..", "internal", "*", "*.go"))
	require.NoError(t, err)
	sources = append(sources, inner...)
	logged := regexp.MustCompile(`\.(?:warn|info)f\("((?:[^"\\]|\\.)*)"`)
	failed := regexp.MustCompile(`(?:(\w+)\s+:?= )?errors\.New\("([^"]*)"\)`)
	verb := regexp.MustCompile(`%[.\d]*[a-z]`)
	n := 0
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") || strings.Contains(source, "etcdfake") {
			continue
		}
		text, err := os.ReadFile(source)
		require.NoError(t, err)
		for _, m := range logged.FindAllSubmatch(text, -1) {
			n++
			for _, part := range verb.Split(string(m[1]), -1) {
				if !strings.Contains(string(page), strings.Trim(part, " :")) {
					t.Errorf("%s logs %q, which is not in operations.md", source, m[1])
				}
			}
		}
		for _, m := range failed.FindAllSubmatch(text, -1) {
			n++
			shown := string(m[2]) + "`" // what users can't test for is known by its text
			exported := "`" + string(m[1]) + "` \"" + string(m[2]) + "\""
			if !strings.Contains(string(page), exported) &&
				(isPublic(source, string(m[1])) || !strings.Contains(string(page), shown)) {
				t.Errorf("%s has %s %q, which is not in operations.md", source, m[1], m[2])
			}
		}
	}
	require.Greater(t, n, 25, "lines and errors are found at all")
}

// isPublic reports whether users can test for an error of a source.
func isPublic(source, name string) bool {
	return token.IsExported(name) && filepath.Base(filepath.Dir(source)) == "etcd"
}

// What operations.md tells to look at is there, and is run as it stands.
func TestLookingAtItAsDocumented(t *testing.T) {
	t.Parallel()
	s := startServer(t, usual)
	r := open(t, registry.Addrs(s.address()))
	require.NoError(t, r.Register(service("greeter", "1", "a"), registry.RegisterTTL(time.Minute)))
	w := watch(t, r, "legacy")
	shown := shell(
		t, "set -x\n"+commands(t, "operations.md", "Look at it"), "ETCDCTL_ENDPOINTS="+s.address(), "ENDPOINT="+s.address(),
	)
	key := base64.StdEncoding.EncodeToString([]byte("/micro/registry/greeter/a"))
	for _, want := range []string{
		"/micro/registry/greeter/a\n", `"name":"greeter"`, "found 1 leases", "3.6.16", `"key":"` + key + `"`,
	} {
		require.Contains(t, shown, want)
	}
	require.Equal(t, "create legacy-1@1", next(t, w))
	require.Equal(t, "delete legacy-1@1", next(t, w))
}

// A cluster goes back to a backup while everybody lives on.
func TestBackupAndRestoreAsDocumented(t *testing.T) {
	t.Parallel()
	members := startCluster(t, usual, 3)
	addrs := registry.Addrs(strings.Split(addresses(members), ",")...)
	dir := t.TempDir()
	backup := "BACKUP=" + filepath.Join(dir, "backup.db")
	provider, consumer, ghost := open(t, addrs), open(t, addrs), open(t, addrs)
	require.NoError(t, provider.Register(service("greeter", "1", "before"), registry.RegisterTTL(lifetime)))
	require.NoError(t, ghost.Register(service("greeter", "1", "ghost"), registry.RegisterTTL(lifetime)))
	reaches(t, consumer, "greeter", "before@1", "ghost@1")
	shell(t, commands(t, "operations.md", "Back up"), backup, "ONE="+members[0].address())
	require.NoError(t, ghost.Deregister(service("greeter", "1", "ghost")))
	require.NoError(t, provider.Register(service("greeter", "1", "after"), registry.RegisterTTL(lifetime)))
	reaches(t, consumer, "greeter", "after@1", "before@1")

	for _, m := range members {
		m.stop()
	}
	for _, m := range members {
		restored := filepath.Join(dir, m.name())
		shell(t, commands(t, "operations.md", "Restore"), backup, "NEW_DIR="+restored, "NAME="+m.name(),
			"CLUSTER="+peers(members), "TOKEN=restored", "PEER_URL=http://"+loopback(m.peer))
		m.args = append(m.args, "--data-dir", restored)
	}
	startAll(t, members)
	client := newClient(t, clientv3.Config{Endpoints: strings.Split(addresses(members), ",")})
	list, err := client.MemberList(soon(t))
	require.NoError(t, err)
	require.Len(t, list.Members, len(members), "it is one cluster")
	eventually(t, func() bool {
		answer, err := client.Get(soon(t), "/micro/registry/greeter/after")
		return err == nil && len(answer.Kvs) == 1
	}, "what was registered since is back")
	reaches(t, consumer, "greeter", "after@1", "before@1")
	eventually(t, func() bool {
		answer, err := client.Get(soon(t), "/micro/registry/greeter/ghost")
		return err == nil && len(answer.Kvs) == 0
	}, "the ghost of the backup goes with its lease")
	reaches(t, consumer, "greeter", "after@1", "before@1")
}

func TestAFullEtcdIsMendedAsDocumented(t *testing.T) {
	t.Parallel()
	s := startServer(t, usual, "--quota-backend-bytes", "4000000")
	client := s.client(t)
	r := open(t, registry.Addrs(s.address()))
	require.NoError(t, r.Register(service("greeter", "1", "a"), registry.RegisterTTL(lifetime)))
	for full := false; !full; {
		_, err := client.Put(soon(t), "filler", strings.Repeat("x", 500_000))
		full = errors.Is(err, rpctypes.ErrNoSpace)
	}
	err := r.Register(service("greeter", "1", "b"), registry.RegisterTTL(lifetime))
	require.ErrorContains(t, err, "database space exceeded")
	time.Sleep(2 * lifetime) // it must be renewed all the same
	require.Equal(t, []string{"a@1"}, found(t, r, "greeter"))
	shell(t, commands(t, "operations.md", "What to do when"), "ETCDCTL_ENDPOINTS="+s.address())
	reaches(t, r, "greeter", "a@1", "b@1")
}
