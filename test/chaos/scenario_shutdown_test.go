package chaos

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/micro-etcd/micro-etcd/test/chaos/cluster"
	"github.com/micro-etcd/micro-etcd/test/chaos/tail"
)

// stopTime is how long a go-micro service may take to end after SIGTERM: its Deregister waits for etcd.
const stopTime = callTimeout

var examples = sync.OnceValues(func() (map[string]string, error) {
	paths := make(map[string]string)
	for _, name := range []string{"greeter", "client"} {
		path, err := cluster.Build("example-"+name, "github.com/micro-etcd/micro-etcd/examples/"+name)
		if err != nil {
			return nil, err
		}
		paths[name] = path
	}
	return paths, nil
})

// example is a running example program, as a user has it: with go-micro's own signal handling.
type example struct {
	cmd   *exec.Cmd
	log   tail.Buffer
	lines chan string
	ended chan struct{}
}

// example starts one, which ends with the test at the latest.
func (env *testEnv) example(name string, args ...string) *example {
	env.t.Helper()
	paths, err := examples()
	env.must(err)
	var addresses []string
	for _, m := range env.cluster.Members {
		addresses = append(addresses, m.ClientAddr)
	}
	e := &example{lines: make(chan string, 1<<10), ended: make(chan struct{})}
	e.cmd = exec.CommandContext(context.Background(), paths[name], args...)
	e.cmd.Env = append(os.Environ(), "MICRO_REGISTRY_ADDRESS="+strings.Join(addresses, ","))
	e.cmd.Stderr = &e.log
	out, err := e.cmd.StdoutPipe()
	env.must(err)
	env.must(e.cmd.Start())
	go func() {
		defer close(e.ended)
		for said := bufio.NewScanner(out); said.Scan(); {
			fmt.Fprintln(&e.log, said.Text())
			select {
			case e.lines <- said.Text():
			default: // nobody reads so much
			}
		}
		_ = e.cmd.Wait()
	}()
	env.t.Cleanup(func() {
		_ = e.cmd.Process.Kill() // fails when it has ended
		<-e.ended
	})
	return e
}

// says waits for a line.
func (env *testEnv) says(e *example, text string) {
	env.t.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case line := <-e.lines:
			if strings.Contains(line, text) {
				return
			}
		case <-e.ended:
			env.t.Fatalf("it ended without saying %q:\n%s", text, e.log.String())
		case <-limit:
			env.t.Fatalf("it didn't say %q:\n%s", text, e.log.String())
		}
	}
}

// stop sends SIGTERM to some, and measures how long the last one takes to end.
func (env *testEnv) stop(what string, all []*example) {
	env.t.Helper()
	began := time.Now()
	for _, e := range all {
		env.must(e.cmd.Process.Signal(syscall.SIGTERM))
	}
	for i, e := range all {
		select {
		case <-e.ended:
		case <-time.After(time.Until(began.Add(6 * stopTime))):
			env.t.Errorf("%s: number %d doesn't end:\n%s", what, i, e.log.String())
		}
	}
	env.report(measurement{what: what, bound: stopTime + time.Second, took: time.Since(began)})
}

// greeters starts groups of greeters, and clients that call them, with connections that stay.
func (env *testEnv) greeters(groups, each int) [][]*example {
	env.t.Helper()
	all := make([][]*example, groups)
	for i := range all {
		for range each {
			all[i] = append(all[i], env.example("greeter", "--register_interval=5", "--register_ttl=30"))
		}
	}
	env.eventually(time.Minute, "all greeters are registered", func() bool {
		have, err := env.records()
		return err == nil && len(have) == groups*each
	})
	for range each {
		env.says(env.example("client"), "Hello")
	}
	return all
}

var stopDelays = []time.Duration{1 * time.Second, 3 * time.Second, 6 * time.Second, 10 * time.Second, 30 * time.Second}

// servicesStopWhileEtcdIsAway: go-micro's server waits in Register and Deregister for the registry, and takes no signal
// meanwhile.
func servicesStopWhileEtcdIsAway(t *testing.T) {
	env := newEnv(t, 1)
	groups := env.greeters(len(stopDelays), 4)
	env.killEtcd()
	began := time.Now()
	for i, delay := range stopDelays {
		env.wait(time.Until(began.Add(delay)))
		env.stop(fmt.Sprintf("SIGTERM %v after etcd was killed: all have ended", delay), groups[i])
	}
}

// servicesStopWithASilentMember: the records must go, too.
func servicesStopWithASilentMember(t *testing.T) {
	env := newEnv(t, 3)
	groups := env.greeters(3, 4)
	for i, m := range env.cluster.Members {
		leader, err := env.cluster.Leader(env.ctx)
		env.must(err)
		env.pauseMember(m)
		what := "a follower silent"
		if m == leader {
			what = "the leader silent"
		}
		env.wait(time.Duration(i) * 2 * time.Second)
		env.stop("SIGTERM with "+what+": all have ended", groups[i])
		have, err := env.records()
		env.must(err)
		if want := (len(groups) - 1 - i) * 4; len(have) != want {
			t.Errorf("%s: etcd has %d records, want %d", what, len(have), want)
		}
		env.resumeMember(m)
		env.must(env.cluster.AwaitReady(env.ctx))
	}
}

// servicesStopWhileTheyStart: go-micro registers before it handles signals (v4.11.0, service.go, Run). One that comes
// in between kills, and the record goes with its TTL.
func servicesStopWhileTheyStart(t *testing.T) {
	env := newEnv(t, 1)
	for _, delay := range []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, time.Second} {
		var all []*example
		for range 4 {
			all = append(all, env.example("greeter", "--register_ttl=10"))
		}
		env.wait(delay)
		env.stop(fmt.Sprintf("SIGTERM %v after the start: all have ended", delay), all)
	}
	env.eventually(15*time.Second, "nothing is left", func() bool {
		have, err := env.records()
		return err == nil && len(have) == 0
	})
}
