package chaos

import (
	"context"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
	"github.com/micro-etcd/micro-etcd/test/chaos/process"
)

func noSpace(t *testing.T) {
	env := newEnv(t, 1, "--quota-backend-bytes", "4000000")
	p := env.process("provider")
	env.follower("consumer", "greeter")
	env.register(p, "greeter", "n1", 5*time.Second)
	env.fill()
	if e := env.attempt(p, env.registration(p, "greeter", "n2", 5*time.Second)); !strings.Contains(e.Err, "pending") {
		t.Errorf("Register said %q", e.Err)
	}
	env.wait(12 * time.Second)
	env.calm() // the lease of n1 lived on
	env.unfill()
	env.back(time.Second, "space is back: pending record taken")
	env.converge(time.Second, "space is back: views agree")
	env.end()
}

const tokenTTL = 4 * time.Second

// withPasswords is a cluster whose users have passwords and tokens that don't live long.
func withPasswords(t *testing.T) (env *testEnv, provider, consumer *process.Process) {
	t.Helper()
	env = newEnv(t, 1, "--auth-token-ttl", "4")
	env.createUsers()
	env.enableAuth()
	env.calm()
	s := process.Setup{Timeout: callTimeout, User: "service", Password: "old"}
	provider = env.processAt("provider", env.cluster.Members, s)
	consumer = env.processAt("consumer", env.cluster.Members, s)
	env.register(provider, "greeter", "n1", 10*time.Second)
	env.follow(consumer, "greeter")
	env.converge(time.Second, "views agree before")
	return env, provider, consumer
}

// enableAuth turns authentication on. The scenario itself asks as root from then on.
func (env *testEnv) enableAuth() {
	env.t.Helper()
	env.etcd("turn authentication on", func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.AuthEnable(ctx)
		return err
	})
	env.cluster.SetUser("root", "root")
}

func (env *testEnv) disableAuth() {
	env.t.Helper()
	env.etcd("turn authentication off", func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.AuthDisable(ctx)
		return err
	})
}

// createUsers makes root, and a user for the registry.
func (env *testEnv) createUsers() {
	env.t.Helper()
	env.etcd("create users", func(ctx context.Context, c *clientv3.Client) error {
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
		if _, err := c.RoleGrantPermission(ctx, "service", etcd.DefaultPrefix, end,
			clientv3.PermissionType(clientv3.PermReadWrite)); err != nil {
			return err
		}
		if _, err := c.UserAdd(ctx, "service", "old"); err != nil {
			return err
		}
		_, err := c.UserGrantRole(ctx, "service", "service")
		return err
	})
}

// authSwitchedOnAndOff: whoever has been given a user needs none today, and one tomorrow.
func authSwitchedOnAndOff(t *testing.T) {
	env, p, c := withPasswords(t)
	for range 2 {
		for _, turn := range []func(){env.disableAuth, env.enableAuth} {
			turn()
			env.calm() // no record goes
			env.register(p, "greeter", "n2", 10*time.Second)
			env.converge(2*time.Second, "authentication switched: a change is seen")
			env.tell(c, process.Command{Do: "watch", Name: "greeter"})
			env.delete("greeter/n1")
			env.back(2*time.Second, "authentication switched: a deleted key is back")
			env.wait(12 * time.Second)
			env.calm()
		}
	}
	env.end()
}

func authTokenExpired(t *testing.T) {
	env, p, c := withPasswords(t)
	for range 3 {
		env.wait(2 * tokenTTL)
		env.tell(c, process.Command{Do: "watch", Name: "greeter"})
		env.register(p, "greeter", "n2", 10*time.Second)
		env.converge(time.Second, "token expired: a change is seen")
		env.delete("greeter/n1")
		env.back(time.Second, "token expired: a deleted key is back")
	}
	env.follow(c, "other")
	env.register(p, "other", "n1", 10*time.Second)
	env.converge(time.Second, "token expired: another service is seen")
	env.end()
}

func passwordChanged(t *testing.T) {
	env, p, c := withPasswords(t)
	env.etcd("change the password", func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.UserChangePassword(ctx, "service", "new")
		return err
	})
	env.wait(2 * time.Second)
	env.tell(p, process.Command{Do: "init", Password: "new"})
	env.tell(c, process.Command{Do: "init", Password: "new"})
	env.calm()
	env.register(p, "greeter", "n2", 10*time.Second)
	env.converge(time.Second, "password changed, Init: a change is seen")
	env.delete("greeter/n1")
	env.back(time.Second, "password changed, Init: a deleted key is back")
	env.wait(2 * tokenTTL)
	env.register(p, "greeter", "n2", 10*time.Second)
	env.converge(time.Second, "password changed, token expired: a change is seen")
	env.end()
}
