package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

type line struct {
	at        time.Time
	who, text string
}

// transcript shows and remembers who said what.
type transcript struct {
	mu    sync.Mutex
	lines []line
	grown chan struct{} // closed at the next line
}

func newTranscript() *transcript { return &transcript{grown: make(chan struct{})} }

func (t *transcript) add(who, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, line{at: time.Now(), who: who, text: text})
	fmt.Printf("   %-6s | %s\n", who, text)
	close(t.grown)
	t.grown = make(chan struct{})
}

// mark returns a position for since and await.
func (t *transcript) mark() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.lines)
}

func (t *transcript) since(mark int) []line {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.lines[mark:])
}

// await returns once n lines since mark match.
func (t *transcript) await(ctx context.Context, mark, n int, match func(line) bool) error {
	for {
		t.mu.Lock()
		found := 0
		for _, l := range t.lines[mark:] {
			if match(l) {
				found++
			}
		}
		grown := t.grown
		t.mu.Unlock()
		if found >= n {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
