package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// A whole call with all its retries may take this long before the client calls it a failure.
const longestSilence = 3500 * time.Millisecond

func (env *environment) greetersRegister(ctx context.Context) error {
	if err := env.startGreeter(ctx, "ann"); err != nil {
		return err
	}
	return env.startGreeter(ctx, "bob")
}

func (env *environment) clientFindsBoth(ctx context.Context) error {
	if err := env.start("client", "client", env.etcd); err != nil {
		return err
	}
	return env.clientSays(ctx, 0, "registry: found greeter-ann", "registry: found greeter-bob",
		from("greeter-ann"), from("greeter-bob"))
}

func (env *environment) annIsKilled(ctx context.Context) error {
	begin, mark := time.Now(), env.transcript.mark()
	if err := env.end(ctx, "ann", syscall.SIGKILL); err != nil {
		return err
	}
	if err := env.clientSays(ctx, mark, from("greeter-bob")); err != nil {
		return err
	}
	if err := env.awaitKey(ctx, "greeter-ann", false); err != nil {
		return err
	}
	env.say("etcd forgot greeter-ann after %.1f s; her TTL is %d s", time.Since(begin).Seconds(), ttl)
	if err := env.clientSays(ctx, mark, "registry: delete greeter-ann"); err != nil {
		return err
	}
	return env.clientGoesOn(ctx, 3, "greeter-ann")
}

func (env *environment) cidJoins(ctx context.Context) error {
	mark := env.transcript.mark()
	if err := env.startGreeter(ctx, "cid"); err != nil {
		return err
	}
	return env.clientSays(ctx, mark, "greeter-cid at", from("greeter-cid"))
}

func (env *environment) bobStops(ctx context.Context) error {
	begin, mark := time.Now(), env.transcript.mark()
	if err := env.end(ctx, "bob", syscall.SIGTERM); err != nil {
		return err
	}
	if err := env.awaitKey(ctx, "greeter-bob", false); err != nil {
		return err
	}
	env.say("greeter-bob was gone from etcd after %v", time.Since(begin).Round(time.Millisecond))
	if err := env.clientSays(ctx, mark, "registry: delete greeter-bob"); err != nil {
		return err
	}
	return env.clientGoesOn(ctx, 3, "greeter-bob")
}

func (env *environment) allStop(ctx context.Context) error {
	for _, name := range []string{"client", "cid"} {
		if err := env.end(ctx, name, syscall.SIGTERM); err != nil {
			return err
		}
	}
	if err := env.awaitKey(ctx, "greeter-cid", false); err != nil {
		return err
	}
	keys, err := env.keys(ctx)
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		return fmt.Errorf("etcd still holds %v", keys)
	}
	return env.clientNeverLostTheService()
}

// startGreeter returns when etcd holds the greeter.
func (env *environment) startGreeter(ctx context.Context, name string) error {
	if err := env.start(name, "greeter", env.etcd); err != nil {
		return err
	}
	if err := env.awaitKey(ctx, "greeter-"+name, true); err != nil {
		return err
	}
	env.say("etcd holds %s", greeterKeys+"greeter-"+name)
	return nil
}

// clientSays waits until the client has printed every one of the phrases, in any order.
func (env *environment) clientSays(ctx context.Context, since int, phrases ...string) error {
	for _, phrase := range phrases {
		said := func(l line) bool { return l.who == "client" && strings.Contains(l.text, phrase) }
		if err := env.transcript.await(ctx, since, 1, said); err != nil {
			return fmt.Errorf("waiting for the client to say %q: %w", phrase, err)
		}
	}
	return nil
}

// clientGoesOn waits for more answers, and refuses any of the greeter that is gone.
func (env *environment) clientGoesOn(ctx context.Context, answers int, gone string) error {
	mark := env.transcript.mark()
	if err := env.transcript.await(ctx, mark, answers, isAnswer); err != nil {
		return fmt.Errorf("waiting for %d more answers: %w", answers, err)
	}
	for _, l := range env.transcript.since(mark) {
		if isAnswer(l) && strings.Contains(l.text, from(gone)) {
			return fmt.Errorf("%s is gone, yet it answered: %s", gone, l.text)
		}
	}
	return nil
}

func (env *environment) clientNeverLostTheService() error {
	var last time.Time
	for _, l := range env.transcript.since(0) {
		if l.who == "client" && strings.HasPrefix(l.text, "call failed") {
			return errors.New("a call failed: " + l.text)
		}
		if !isAnswer(l) {
			continue
		}
		if silence := l.at.Sub(last); !last.IsZero() && silence > longestSilence {
			return fmt.Errorf("the client had no answer for %v", silence)
		}
		last = l.at
	}
	return nil
}

func from(greeter string) string { return `" from ` + greeter }

func isAnswer(l line) bool { return l.who == "client" && strings.Contains(l.text, from("greeter-")) }
