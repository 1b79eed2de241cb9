package chaos

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/micro-etcd/micro-etcd/internal/cachefile"
	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/chaos/check"
	"github.com/micro-etcd/micro-etcd/test/chaos/process"
	"github.com/micro-etcd/micro-etcd/test/chaos/record"
)

// consumersStartWhileEtcdIsAway kills consumers while they write their cache files, and etcd. Their successors find
// what they knew, and are told of what has gone meanwhile.
func consumersStartWhileEtcdIsAway(t *testing.T) {
	env := newEnv(t, 1)
	dir := t.TempDir()
	consumer := func(name string) *process.Process {
		p := env.processAt(name, env.cluster.Members, process.Setup{Timeout: callTimeout, CacheDir: dir})
		env.follow(p, "greeter")
		return p
	}
	p, leaver := env.process("provider"), env.process("leaver")
	for i := range 5 {
		env.register(p, "greeter", fmt.Sprint("n", i), 30*time.Second)
	}
	env.register(leaver, "greeter", "leaver", 5*time.Second)
	var before []*process.Process
	for i := range 4 {
		before = append(before, consumer(fmt.Sprint("before-", i)))
	}
	env.converge(time.Second, "views agree before")
	for i := range 100 { // they write while they are killed
		env.register(p, "greeter", "n0", 30*time.Second)
		if i%25 == 24 && len(before) > 1 {
			env.kill(before[0])
			before = before[1:]
		}
		env.wait(100 * time.Millisecond)
	}
	env.calm()
	env.converge(time.Second, "views agree after their files were written and some were killed")
	env.eventually(20*time.Second, "the file has what is wanted", func() bool { return env.isKept(dir) })
	known, err := env.records()
	env.must(err)
	env.killEtcd()
	env.kill(leaver)
	for i := range 3 {
		consumer(fmt.Sprint("after-", i))
	}
	env.measure(time.Second, "consumers start while etcd is away: views are the last ones", func() bool {
		return len(check.Divergences(env.history.All(), time.Now(), known)) == 0
	})
	env.wait(5 * time.Second)
	env.startEtcd()
	env.back(2*time.Second, "outage over: records back")
	expiry := 5*time.Second + check.ExpirySlack - check.Noise
	env.gone(expiry, "outage over: who was killed is gone (TTL 5 s)", "greeter/leaver")
	env.converge(time.Second+expiry, "outage over: views agree")
	env.end()
}

// isKept reports whether the cache file of the greeters has all that is wanted.
func (env *testEnv) isKept(dir string) bool {
	files := cachefile.Dir{Path: dir, Prefix: etcd.DefaultPrefix, MaxAge: -1}
	file, err := files.Load(etcd.DefaultPrefix + "greeter/")
	if err != nil {
		return false
	}
	kept := map[string]string{}
	for _, kv := range file.Kvs {
		kept[strings.TrimPrefix(string(kv.Key), etcd.DefaultPrefix)] = record.MarkOf(string(kv.Value))
	}
	return maps.Equal(kept, env.want)
}
