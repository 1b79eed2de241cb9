package chaos

import (
	"context"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

func noSpace(t *testing.T) {
	w := begin(t, 1, "--quota-backend-bytes", "4000000")
	p := w.process("provider")
	w.follower("consumer", "greeter")
	w.register(p, "greeter", "n1", 5*time.Second)
	w.fill()
	if e := w.attempt(p, w.registration(p, "greeter", "n2", 5*time.Second)); !strings.Contains(e.Err, "pending") {
		t.Errorf("Register said %q", e.Err)
	}
	w.wait(12 * time.Second)
	w.calm() // the lease of n1 lived on
	w.unfill()
	w.back(time.Second, "space is back: pending record taken")
	w.agree(time.Second, "space is back: views agree")
	w.end()
}

const tokenTTL = 4 * time.Second

// withPasswords is a cluster whose users have passwords and tokens that don't live long.
func withPasswords(t *testing.T) (w *world, provider, consumer *process) {
	w = begin(t, 1, "--auth-token-ttl", "4")
	w.etcd("turn authentication on", func(ctx context.Context, c *clientv3.Client) error {
		if _, err := c.UserAdd(ctx, "root", "root"); err != nil {
			return err
		}
		if _, err := c.UserGrantRole(ctx, "root", "root"); err != nil {
			return err
		}
		if _, err := c.RoleAdd(ctx, "service"); err != nil {
			return err
		}
		end := clientv3.GetPrefixRangeEnd(etcd.DefaultPrefix)
		if _, err := c.RoleGrantPermission(ctx, "service", etcd.DefaultPrefix, end, clientv3.PermissionType(clientv3.PermReadWrite)); err != nil {
			return err
		}
		if _, err := c.UserAdd(ctx, "service", "old"); err != nil {
			return err
		}
		if _, err := c.UserGrantRole(ctx, "service", "service"); err != nil {
			return err
		}
		_, err := c.AuthEnable(ctx)
		return err
	})
	w.cluster.as("root", "root")
	w.calm()
	s := setup{Timeout: callTimeout, User: "service", Password: "old"}
	provider, consumer = w.processAt("provider", w.cluster.members, s), w.processAt("consumer", w.cluster.members, s)
	w.register(provider, "greeter", "n1", 10*time.Second)
	w.follow(consumer, "greeter")
	w.agree(time.Second, "views agree before")
	return w, provider, consumer
}

func authTokenExpired(t *testing.T) {
	w, p, c := withPasswords(t)
	for range 3 {
		w.wait(2 * tokenTTL)
		w.tell(c, command{Do: "watch", Name: "greeter"})
		w.register(p, "greeter", "n2", 10*time.Second)
		w.agree(time.Second, "token expired: a change is seen")
		w.delete("greeter/n1")
		w.back(time.Second, "token expired: a deleted key is back")
	}
	w.follow(c, "other")
	w.register(p, "other", "n1", 10*time.Second)
	w.agree(time.Second, "token expired: another service is seen")
	w.end()
}

func passwordChanged(t *testing.T) {
	w, p, c := withPasswords(t)
	w.etcd("change the password", func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.UserChangePassword(ctx, "service", "new")
		return err
	})
	w.wait(2 * time.Second)
	w.tell(p, command{Do: "init", Password: "new"})
	w.tell(c, command{Do: "init", Password: "new"})
	w.calm()
	w.register(p, "greeter", "n2", 10*time.Second)
	w.agree(time.Second, "password changed, Init: a change is seen")
	w.delete("greeter/n1")
	w.back(time.Second, "password changed, Init: a deleted key is back")
	w.wait(2 * tokenTTL)
	w.register(p, "greeter", "n2", 10*time.Second)
	w.agree(time.Second, "password changed, token expired: a change is seen")
	w.end()
}
