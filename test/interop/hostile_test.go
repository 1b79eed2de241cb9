package interop

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// junk is what others may leave in a service's directory.
func junk() map[string]string {
	node := `{"id":"x","address":"1.2.3.4:5"}`
	deep := strings.Repeat(`{"values":[`, 50_000) + strings.Repeat(`]}`, 50_000)
	return map[string]string{
		"not-json":                     "hello\x00\x1b[31m\nworld",
		"not-utf8":                     "\xff\xfe",
		"empty":                        "",
		"null":                         "null",
		"number":                       "1e999999",
		"list":                         "[[[[[[[[[[",
		"half":                         `{"name":"greeter","nodes":[` + node,
		"deep":                         `{"name":"greeter","nodes":[` + node + `],"endpoints":[{"request":` + deep + `}]}`,
		"nil-node":                     `{"name":"greeter","nodes":[null]}`,
		"nil-nodes":                    `{"name":"greeter","nodes":null}`,
		"thousand":                     `{"name":"greeter","nodes":[` + strings.Repeat(node+",", 999) + node + `]}`,
		"wrong-name":                   `{"name":"other","nodes":[` + node + `]}`,
		"no-name":                      `{"nodes":[` + node + `]}`,
		"dots":                         `{"name":"..","nodes":[` + node + `]}`,
		"types":                        `{"name":["greeter"],"nodes":[` + node + `]}`,
		"metadata":                     `{"name":"greeter","metadata":{"a":{}},"nodes":[` + node + `]}`,
		"no-id":                        `{"name":"greeter","nodes":[{"address":"1.2.3.4:5"}]}`,
		"big":                          strings.Repeat("x", 1<<20),
		"odd//path/../":                "junk",
		"new\nline":                    "junk",
		"\x1b[2J":                      "junk",
		"\xff":                         "junk",
		strings.Repeat("long", 10_000): "junk",
	}
}

// strange is what looks odd and is a record all the same.
func strange() map[string]string {
	return map[string]string{
		"nils":  `{"name":"greeter","version":"s","endpoints":[null,{"name":"e","request":{"values":[null]}}],"nodes":[null,{"id":"nils"}]}`,
		"extra": `{"name":"greeter","version":"s","future":{"a":[1,2]},"nodes":[{"id":"extra","future":1}]}`,
		"mib": `{"name":"greeter","version":"s","nodes":[{"id":"mib","metadata":{"m":"` + strings.Repeat("m", 1<<20) +
			`"}}]}`,
		"ctrl": `{"name":"greeter","version":"s","nodes":[{"id":"ctrl","address":"\u0000\u001b[31m"}]}`,
	}
}

const greeterDir = "/micro/registry/greeter/"

func TestJunkHurtsNobody(t *testing.T) {
	t.Parallel()
	s := startServer(t, usual)
	client := s.client(t)
	log := newLog()
	r := open(t, registry.Addrs(s.address()), registry.Logger(log))
	put := func(values map[string]string) {
		for key, value := range values {
			_, err := client.Put(soon(t), greeterDir+key, value)
			require.NoError(t, err)
		}
	}
	put(junk())
	_, err := client.Put(soon(t), "/micro/registry/stray", "junk")
	require.NoError(t, err)
	require.NoError(t, r.Register(service("greeter", "1", "a"), registry.RegisterTTL(time.Minute)))
	require.Equal(t, []string{"a@1"}, found(t, r, "greeter"), "junk that is listed")
	w := watch(t, r, "greeter")
	put(strange())
	all := []string{"a@1", "ctrl@s", "extra@s", "mib@s", "nils@s"}
	reaches(t, r, "greeter", all...)
	put(junk())
	require.NoError(t, r.Register(service("greeter", "1", "b"), registry.RegisterTTL(time.Minute)))
	told := map[string]bool{}
	for !told["create b@1"] {
		told[next(t, w)] = true
	}
	require.Len(t, told, 1+len(strange()), "a watcher hears of records only: %v", told)
	require.Equal(t, append([]string{"a@1", "b@1"}, all[1:]...), found(t, r, "greeter"), "junk that is watched")
	services, err := r.ListServices()
	require.NoError(t, err)
	require.Len(t, idsOf(services), 6)

	eventually(t, func() bool {
		return r.Status().Malformed >= uint64(3*len(junk())+1)
	}, "each is counted: %d", r.Status().Malformed)
	skipped := func() int { return strings.Count(log.text.String(), "skipping") }
	eventually(t, func() bool { return skipped() >= len(junk())+1 }, "each is logged, a moment later")
	require.Equal(t, len(junk())+1, skipped(), "each is logged once:\n%s", log.text.String())
	for _, c := range []string{"\x00", "\x1b", "\xff"} {
		require.NotContains(t, log.text.String(), c, "a log is for terminals")
	}
	for line := range strings.Lines(log.text.String()) {
		require.Less(t, len(line), 2000)
	}
	// A record that is overwritten with junk isn't one any more; its owner puts it back.
	_, err = client.Put(soon(t), greeterDir+"a", "junk")
	require.NoError(t, err)
	for !told["delete a@1"] {
		told[next(t, w)] = true
	}
	require.Equal(t, "create a@1", next(t, w))
}

// bulk is how many junk keys there are beside the real ones; INTEROP_JUNK=1000000 makes it a million.
func bulk(tb testing.TB) int {
	tb.Helper()
	text := os.Getenv("INTEROP_JUNK")
	if text == "" {
		return 100_000
	}
	n, err := strconv.Atoi(text)
	require.NoError(tb, err)
	return n
}

func TestManyJunkKeysCostLittle(t *testing.T) {
	s := startServer(t, usual, "--max-txn-ops", "10000")
	client := s.client(t)
	n := bulk(t)
	fill := func(dir string) {
		const step = 5_000
		for i := 0; i < n/2; i += step {
			ops := make([]clientv3.Op, 0, step)
			for j := range min(step, n/2-i) {
				ops = append(ops, clientv3.OpPut(fmt.Sprintf("%s%08d", dir, i+j), "junk"))
			}
			_, err := client.Txn(soon(t)).Then(ops...).Commit()
			require.NoError(t, err)
		}
	}
	fill(greeterDir)
	fill("/micro/registry/")
	other := service("other", "1", "a")
	log := newLog()
	before := heap()
	r := open(t, registry.Addrs(s.address()), registry.Logger(log), registry.Timeout(time.Minute))
	require.NoError(t, r.Register(other, registry.RegisterTTL(time.Minute)))
	require.NoError(t, r.Register(service("greeter", "1", "zz"), registry.RegisterTTL(time.Minute)))

	began := time.Now()
	require.Equal(t, []string{"zz@1"}, found(t, r, "greeter"))
	first := time.Since(began)
	began = time.Now()
	services, err := r.ListServices()
	require.NoError(t, err)
	require.Equal(t, []string{"a@1", "zz@1"}, idsOf(services))
	listed := time.Since(began)
	began = time.Now()
	require.Equal(t, []string{"a@1"}, found(t, r, "other"))
	neighbor := time.Since(began)
	grown := heap() - before
	runtime.KeepAlive(r)
	t.Logf("%d junk keys: first lookup beside half of them %s, list of all %s, lookup of a neighbor %s, %d KiB kept",
		n, first, listed, neighbor, grown>>10)
	require.Less(t, neighbor, time.Second)
	require.Less(t, grown, int64(16<<20), "junk isn't kept")
	require.Equal(t, uint64(n/2+n), r.Status().Malformed)
	require.LessOrEqual(t, strings.Count(log.text.String(), "skipping"), 1000)

	// Afterwards, events cost what they cost without junk.
	w := watch(t, r, "greeter")
	require.NoError(t, r.Register(service("greeter", "1", "zzz"), registry.RegisterTTL(time.Minute)))
	for next(t, w) != "create zzz@1" { // zz may come first
	}
}

// heap returns the bytes in use after a collection.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far from 2^63
}
