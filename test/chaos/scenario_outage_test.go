package chaos

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/micro-etcd/micro-etcd/test/chaos/check"
	"github.com/micro-etcd/micro-etcd/test/chaos/process"
)

func outageOfTwiceTheTTL(t *testing.T)  { outage(t, 20*time.Second, 10*time.Second) }
func outageOfThreeMinutes(t *testing.T) { outage(t, 3*time.Minute, 30*time.Second) }

// outage takes all of etcd away for a while, in which everything that a service may want is tried.
func outage(t *testing.T, length, ttl time.Duration) {
	t.Helper()
	env := newEnv(t, 1)
	p, leaver, server := env.process("provider"), env.process("leaver"), env.process("server")
	c := env.follower("consumer", "greeter")
	for i := range 10 {
		env.register(p, "greeter", fmt.Sprint("n", i), ttl)
	}
	env.register(leaver, "greeter", "leaver", ttl)
	env.serve(server, "rpc", ttl, ttl/2)
	env.back(5*time.Second, "a go-micro service has registered")
	env.converge(time.Second, "views agree before")

	env.killEtcd()
	began := time.Now()
	env.calm()
	var pending []process.Command
	for _, node := range []string{"new", "n1"} {
		c := env.registration(p, "greeter", node, ttl)
		if e := env.attempt(p, c); !strings.Contains(e.Err, "pending") {
			t.Errorf("Register of %s said %q", node, e.Err)
		}
		pending = append(pending, c)
	}
	if e := env.deregister(p, "greeter", "n2"); e.Err == "" {
		t.Error("Deregister claims to have worked")
	}
	if e := env.attempt(c, process.Command{Do: "look", Name: "unknown"}); e.Err == "" {
		t.Error("a lookup of an unknown name claims to know")
	}
	env.tell(c, process.Command{Do: "watch", Name: "greeter"})
	env.report(
		measurement{what: "outage: Close returns (Timeout 5 s)", bound: callTimeout, took: env.leave(leaver).Took},
	)
	env.unwant(server)
	env.report(
		measurement{
			what:  "outage: server.Stop returns (Timeout 5 s)",
			bound: 2*callTimeout + 3*time.Second,
			took:  env.attempt(server, process.Command{Do: "unserve"}).Took,
		},
	)
	for time.Since(began) < length {
		env.wait(min(20*time.Second, length-time.Since(began)))
		for _, c := range pending { // as go-micro does
			e := env.attempt(p, c)
			env.report(
				measurement{what: "outage: Register of a pending record, repeated", bound: time.Second, took: e.Took},
			)
		}
	}

	env.startEtcd()
	env.back(2*time.Second, "outage over: records back, pending ones taken")
	env.gone(2*time.Second, "outage over: what was deregistered meanwhile is gone", "greeter/n2")
	env.converge(2*time.Second+check.ViewLag-check.Noise, "outage over: views agree")
	for _, p := range []*process.Process{p, c} {
		if lines := strings.Count(p.Log.String(), "\n"); lines > 20 {
			t.Errorf("%s logged %d lines:\n%s", p.Name, lines, p.Log.String())
		}
	}
	env.end()
}

func serviceStartsBeforeEtcd(t *testing.T) {
	env := newEnv(t, 1)
	env.killEtcd()
	p, server := env.process("provider"), env.process("server")
	env.follower("consumer", "greeter")
	if e := env.attempt(p, env.registration(p, "greeter", "n1", 30*time.Second)); !strings.Contains(e.Err, "pending") {
		t.Errorf("Register said %q", e.Err)
	}
	env.serve(server, "rpc", 30*time.Second, time.Minute)
	env.eventually(callTimeout, "the service says that etcd is away", func() bool {
		return strings.Contains(server.Log.String(), "can't connect to etcd")
	})
	env.wait(10 * time.Second)
	env.startEtcd()
	env.back(time.Second, "etcd comes up after the services: registered")
	env.converge(time.Second+check.ViewLag-check.Noise, "etcd comes up after the services: views agree")
	env.end()
}
