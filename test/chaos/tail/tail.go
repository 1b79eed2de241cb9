// Package tail keeps the end of what a process logs.
package tail

import (
	"bytes"
	"sync"
)

// Buffer keeps the end of what is written to it.
type Buffer struct {
	mu    sync.Mutex
	bytes []byte
}

const keptBytes = 64 << 10

func (b *Buffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes = append(b.bytes, text...)
	if n := len(b.bytes) - keptBytes; n > 0 {
		b.bytes = bytes.Clone(b.bytes[n:])
	}
	return len(text), nil
}

func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.bytes)
}
