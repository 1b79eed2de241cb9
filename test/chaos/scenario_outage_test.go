package chaos

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func outageOfTwiceTheTTL(t *testing.T)  { outage(t, 20*time.Second, 10*time.Second) }
func outageOfThreeMinutes(t *testing.T) { outage(t, 3*time.Minute, 30*time.Second) }

// outage takes all of etcd away for a while, in which everything that a service may want is tried.
func outage(t *testing.T, length, ttl time.Duration) {
	w := begin(t, 1)
	p, leaver, server := w.process("provider"), w.process("leaver"), w.process("server")
	c := w.follower("consumer", "greeter")
	for i := range 10 {
		w.register(p, "greeter", fmt.Sprint("n", i), ttl)
	}
	w.register(leaver, "greeter", "leaver", ttl)
	w.serve(server, "rpc", ttl, ttl/2)
	w.back(5*time.Second, "a go-micro service has registered")
	w.agree(time.Second, "views agree before")

	w.killEtcd()
	began := time.Now()
	w.calm()
	var pending []command
	for _, node := range []string{"new", "n1"} {
		c := w.registration(p, "greeter", node, ttl)
		if e := w.attempt(p, c); !strings.Contains(e.Err, "pending") {
			t.Errorf("Register of %s said %q", node, e.Err)
		}
		pending = append(pending, c)
	}
	if e := w.deregister(p, "greeter", "n2"); e.Err == "" {
		t.Error("Deregister claims to have worked")
	}
	if e := w.attempt(c, command{Do: "look", Name: "unknown"}); e.Err == "" {
		t.Error("a lookup of an unknown name claims to know")
	}
	w.tell(c, command{Do: "watch", Name: "greeter"})
	w.figure(figure{what: "outage: Close returns (Timeout 5 s)", bound: callTimeout, measured: w.leave(leaver).Took})
	w.unwant(server)
	w.figure(figure{what: "outage: server.Stop returns (Timeout 5 s)", bound: 2*callTimeout + 3*time.Second, measured: w.attempt(server, command{Do: "unserve"}).Took})
	for time.Since(began) < length {
		w.wait(min(20*time.Second, length-time.Since(began)))
		for _, c := range pending { // as go-micro does
			e := w.attempt(p, c)
			w.figure(figure{what: "outage: Register of a pending record, repeated", bound: time.Second, measured: e.Took})
		}
	}

	w.startEtcd()
	w.back(2*time.Second, "outage over: records back, pending ones taken")
	w.gone(2*time.Second, "outage over: what was deregistered meanwhile is gone", "greeter/n2")
	w.agree(2*time.Second+viewLag-noise, "outage over: views agree")
	for _, p := range []*process{p, c} {
		if lines := strings.Count(p.log.String(), "\n"); lines > 20 {
			t.Errorf("%s logged %d lines:\n%s", p.name, lines, p.log.String())
		}
	}
	w.end()
}

func serviceStartsBeforeEtcd(t *testing.T) {
	w := begin(t, 1)
	w.killEtcd()
	p, server := w.process("provider"), w.process("server")
	w.follower("consumer", "greeter")
	if e := w.attempt(p, w.registration(p, "greeter", "n1", 30*time.Second)); !strings.Contains(e.Err, "pending") {
		t.Errorf("Register said %q", e.Err)
	}
	w.serve(server, "rpc", 30*time.Second, time.Minute)
	w.eventually(callTimeout, "the service says that etcd is away", func() bool {
		return strings.Contains(server.log.String(), "can't connect to etcd")
	})
	w.wait(10 * time.Second)
	w.startEtcd()
	w.back(time.Second, "etcd comes up after the services: registered")
	w.agree(time.Second+viewLag-noise, "etcd comes up after the services: views agree")
	w.end()
}
