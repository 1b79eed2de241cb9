package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"
)

const (
	ttl = 3 // seconds until etcd forgets a greeter that was killed

	// A whole call with all its retries may take this long before the client calls it a failure.
	longestSilence = 3500 * time.Millisecond
)

func (s *stage) greetersRegister(ctx context.Context) error {
	if err := s.startGreeter(ctx, "ann"); err != nil {
		return err
	}
	return s.startGreeter(ctx, "bob")
}

func (s *stage) clientFindsBoth(ctx context.Context) error {
	if err := s.start("client"); err != nil {
		return err
	}
	return s.clientSays(ctx, 0, "registry: found greeter-ann", "registry: found greeter-bob",
		from("greeter-ann"), from("greeter-bob"))
}

func (s *stage) annIsKilled(ctx context.Context) error {
	begin, mark := time.Now(), s.said.mark()
	if err := s.end(ctx, "ann", syscall.SIGKILL); err != nil {
		return err
	}
	if err := s.clientSays(ctx, mark, from("greeter-bob")); err != nil {
		return err
	}
	if err := s.awaitKey(ctx, "greeter-ann", false); err != nil {
		return err
	}
	s.say("etcd forgot greeter-ann after %.1f s; her TTL is %d s", time.Since(begin).Seconds(), ttl)
	if err := s.clientSays(ctx, mark, "registry: delete greeter-ann"); err != nil {
		return err
	}
	return s.clientGoesOn(ctx, 3, "greeter-ann")
}

func (s *stage) cidJoins(ctx context.Context) error {
	mark := s.said.mark()
	if err := s.startGreeter(ctx, "cid"); err != nil {
		return err
	}
	return s.clientSays(ctx, mark, "greeter-cid at", from("greeter-cid"))
}

func (s *stage) bobStops(ctx context.Context) error {
	begin, mark := time.Now(), s.said.mark()
	if err := s.end(ctx, "bob", syscall.SIGTERM); err != nil {
		return err
	}
	if err := s.awaitKey(ctx, "greeter-bob", false); err != nil {
		return err
	}
	s.say("greeter-bob was gone from etcd after %v", time.Since(begin).Round(time.Millisecond))
	if err := s.clientSays(ctx, mark, "registry: delete greeter-bob"); err != nil {
		return err
	}
	return s.clientGoesOn(ctx, 3, "greeter-bob")
}

func (s *stage) allStop(ctx context.Context) error {
	for _, name := range []string{"client", "cid"} {
		if err := s.end(ctx, name, syscall.SIGTERM); err != nil {
			return err
		}
	}
	if err := s.awaitKey(ctx, "greeter-cid", false); err != nil {
		return err
	}
	keys, err := s.keys(ctx)
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		return fmt.Errorf("etcd still holds %v", keys)
	}
	return s.clientNeverLostTheService()
}

// startGreeter returns when etcd holds the greeter.
func (s *stage) startGreeter(ctx context.Context, name string) error {
	if err := s.start(name); err != nil {
		return err
	}
	if err := s.awaitKey(ctx, "greeter-"+name, true); err != nil {
		return err
	}
	s.say("etcd holds %s", greeterKeys+"greeter-"+name)
	return nil
}

// clientSays waits until the client has printed every one of the phrases, in any order.
func (s *stage) clientSays(ctx context.Context, since int, phrases ...string) error {
	for _, phrase := range phrases {
		said := func(l line) bool { return l.who == "client" && strings.Contains(l.text, phrase) }
		if err := s.said.await(ctx, since, 1, said); err != nil {
			return fmt.Errorf("waiting for the client to say %q: %w", phrase, err)
		}
	}
	return nil
}

// clientGoesOn waits for more answers, and refuses any of the greeter that is gone.
func (s *stage) clientGoesOn(ctx context.Context, answers int, gone string) error {
	mark := s.said.mark()
	if err := s.said.await(ctx, mark, answers, isAnswer); err != nil {
		return fmt.Errorf("waiting for %d more answers: %w", answers, err)
	}
	for _, l := range s.said.since(mark) {
		if isAnswer(l) && strings.Contains(l.text, from(gone)) {
			return fmt.Errorf("%s is gone, yet it answered: %s", gone, l.text)
		}
	}
	return nil
}

func (s *stage) clientNeverLostTheService() error {
	var last time.Time
	for _, l := range s.said.since(0) {
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
