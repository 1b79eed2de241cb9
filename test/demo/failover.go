package main

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/micro-etcd/micro-etcd/etcdtest"
)

// failover is a second data center, us1, beside the first one, eu1, where the client is.
type failover struct {
	*environment
	us1 *etcdtest.Server
}

func (env *environment) showFailover(ctx context.Context) error {
	us1, err := etcdtest.Run(filepath.Join(env.dir, "us1"))
	if err != nil {
		return err
	}
	defer us1.Stop()
	fmt.Println("That is data center eu1; another etcd is us1, at", us1.Endpoint())
	f := &failover{env, us1}
	return env.run(ctx, []step{
		{"Ann and Bob register in eu1, Uma in us1", f.greetersRegister},
		{"A client in eu1 calls Ann and Bob", f.clientStaysAtHome},
		{"eu1's etcd is away: Ann and Bob are well, and nothing changes", f.etcdIsAway},
		{"Ann and Bob stop: us1 serves", f.homeIsLost},
		{"Ann is back: after a while, in which she stays, eu1 serves again", f.homeIsBack},
		{"Everybody goes home", f.allStop},
	})
}

func (f *failover) greetersRegister(ctx context.Context) error {
	for _, name := range []string{"ann", "bob"} {
		if err := f.startGreeter(ctx, name); err != nil {
			return err
		}
	}
	return f.start("uma", "greeter", f.us1)
}

func (f *failover) clientStaysAtHome(ctx context.Context) error {
	dcs := fmt.Sprintf("DATACENTERS=eu1=%s us1=%s", f.etcd.Endpoint(), f.us1.Endpoint())
	if err := f.start("client", "datacenters", f.etcd, dcs); err != nil {
		return err
	}
	if err := f.clientSays(ctx, 0, from("greeter-ann"), from("greeter-bob")); err != nil {
		return err
	}
	return f.clientGoesOn(ctx, 4, "greeter-uma")
}

func (f *failover) etcdIsAway(ctx context.Context) error {
	f.say("eu1's etcd is stopped")
	f.etcd.Stop()
	if err := f.clientGoesOn(ctx, 6, "greeter-uma"); err != nil {
		return err
	}
	f.say("eu1's etcd is started")
	return f.etcd.Restart()
}

func (f *failover) homeIsLost(ctx context.Context) error {
	began, mark := time.Now(), f.transcript.mark()
	for _, name := range []string{"ann", "bob"} {
		if err := f.end(ctx, name, syscall.SIGTERM); err != nil {
			return err
		}
	}
	if err := f.clientSays(ctx, mark, from("greeter-uma")); err != nil {
		return err
	}
	f.say("us1 serves, %.1f s after the first was asked to stop", time.Since(began).Seconds())
	return f.clientGoesOn(ctx, 4, "greeter-ann")
}

func (f *failover) homeIsBack(ctx context.Context) error {
	mark := f.transcript.mark()
	if err := f.startGreeter(ctx, "ann"); err != nil {
		return err
	}
	began := time.Now()
	if err := f.clientSays(ctx, mark, from("greeter-ann")); err != nil {
		return err
	}
	f.say("eu1 serves again, %.1f s after Ann has come", time.Since(began).Seconds())
	return f.clientGoesOn(ctx, 4, "greeter-uma")
}

func (f *failover) allStop(ctx context.Context) error {
	for _, name := range []string{"client", "ann", "uma"} {
		if err := f.end(ctx, name, syscall.SIGTERM); err != nil {
			return err
		}
	}
	return f.clientNeverLostTheService()
}
