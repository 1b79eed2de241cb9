package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/micro-etcd/micro-etcd/etcdtest"
)

const (
	module      = "github.com/micro-etcd/micro-etcd"
	greeterKeys = "/micro/registry/greeter/"
	ttl         = 3 // seconds until etcd forgets a greeter that was killed
)

// environment is what the demo runs on: an etcd, and processes of the two examples.
type environment struct {
	dir        string
	etcd       *etcdtest.Server
	client     *clientv3.Client
	transcript *transcript
	processes  map[string]*process
	unasked    context.CancelCauseFunc // ends the demo when a process ends by itself
}

func setUp(ctx context.Context, unasked context.CancelCauseFunc) (_ *environment, err error) {
	env := &environment{transcript: newTranscript(), processes: map[string]*process{}, unasked: unasked}
	defer func() {
		if err != nil {
			err = errors.Join(err, env.tearDown())
		}
	}()
	if env.dir, err = os.MkdirTemp("", "micro-etcd-demo-"); err != nil {
		return nil, err
	}
	fmt.Println("Building the examples ...")
	if err := buildExamples(ctx, env.dir); err != nil {
		return nil, err
	}
	if env.etcd, err = etcdtest.Run(filepath.Join(env.dir, "etcd")); err != nil {
		return nil, err
	}
	env.client, err = clientv3.New(clientv3.Config{
		Endpoints: env.etcd.Endpoints(), DialTimeout: 5 * time.Second, Logger: zap.NewNop(),
	})
	if err != nil {
		return nil, err
	}
	fmt.Println("An etcd runs inside this program, at", env.etcd.Endpoint())
	return env, nil
}

// tearDown leaves nothing behind, whatever has been set up.
func (env *environment) tearDown() error {
	for _, p := range env.processes {
		p.kill()
	}
	if env.client != nil {
		_ = env.client.Close() // it reports no more than its own canceled context
	}
	if env.etcd != nil {
		env.etcd.Stop()
	}
	return os.RemoveAll(env.dir)
}

func buildExamples(ctx context.Context, dir string) error {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return fmt.Errorf("run this inside the module github.com/micro-etcd/micro-etcd/test: %w", err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-C", strings.TrimSpace(string(root)),
		"-o", dir+string(filepath.Separator), "./examples/greeter", "./examples/client", "./examples/datacenters")
	if out, err := build.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("build the examples: %w\n%s", err, out), context.Cause(ctx))
	}
	return nil
}

// start runs an example under a name, beside an etcd.
func (env *environment) start(name, example string, beside *etcdtest.Server, more ...string) error {
	p, err := startProcess(
		filepath.Join(env.dir, example),
		env.unasked,
		func(text string) { env.transcript.add(name, text) },
		append(more,
			"MICRO_REGISTRY_ADDRESS="+beside.Endpoint(),
			"MICRO_SERVER_ID="+name,
			"MICRO_SERVER_ADDRESS=127.0.0.1:0",
			"MICRO_REGISTER_TTL="+strconv.Itoa(ttl),
			"MICRO_REGISTER_INTERVAL=1",
			"MICRO_LOG_LEVEL=error", // Go Micro logs to where the demo is shown
		)...,
	)
	if err != nil {
		return err
	}
	env.processes[name] = p
	return nil
}

// end sends the signal and waits for the process. Unless killed, it has to end well.
func (env *environment) end(ctx context.Context, name string, sig syscall.Signal) error {
	if sig == syscall.SIGKILL {
		env.say("kill -9 %s", name)
	} else {
		env.say("kill %s", name)
	}
	if err := env.processes[name].end(ctx, sig); err != nil {
		return fmt.Errorf("ending %s: %w", name, err)
	}
	return nil
}

func (env *environment) say(format string, args ...any) {
	env.transcript.add("demo", fmt.Sprintf(format, args...))
}

// awaitKey returns once etcd holds the greeter, or holds it no longer.
func (env *environment) awaitKey(ctx context.Context, node string, present bool) error {
	key := greeterKeys + node
	now, err := env.client.Get(ctx, key)
	if err != nil {
		return err
	}
	if (now.Count > 0) == present {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for changes := range env.client.Watch(ctx, key, clientv3.WithRev(now.Header.Revision+1)) {
		if err := changes.Err(); err != nil {
			return err
		}
		for _, change := range changes.Events {
			if (change.Type == clientv3.EventTypePut) == present {
				return nil
			}
		}
	}
	return fmt.Errorf("waiting for %s to be present=%t: %w", key, present, context.Cause(ctx))
}

func (env *environment) keys(ctx context.Context) ([]string, error) {
	got, err := env.client.Get(ctx, greeterKeys, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, err
	}
	keys := make([]string, 0, got.Count)
	for _, kv := range got.Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys, nil
}

// printEvidence shows what nobody wants to read unless something went wrong.
func (env *environment) printEvidence() {
	for name, p := range env.processes {
		fmt.Fprintf(os.Stderr, "\n--- %s logged:\n%s", name, p.logged())
	}
	fmt.Fprintf(os.Stderr, "\n--- etcd logged:\n%s", env.etcd.Log())
}
