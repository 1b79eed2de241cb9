// Package iostreams is what a command reads and writes, and how it asks somebody at a terminal.
package iostreams

import (
	"bufio"
	"context"
	"io"
	"os"

	"golang.org/x/term"
)

// Streams are standard input, output and error.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer

	CanPrompt     bool                                  // In is a terminal, so somebody can be asked
	ErrIsTerminal bool                                  // so progress can be shown
	ReadPassword  func(context.Context) ([]byte, error) // without echo, unless the context ends before
}

// System returns the process's own.
func System() Streams {
	return Streams{
		In:            os.Stdin,
		Out:           os.Stdout,
		Err:           os.Stderr,
		CanPrompt:     term.IsTerminal(int(os.Stdin.Fd())),
		ErrIsTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		ReadPassword:  func(ctx context.Context) ([]byte, error) { return readPassword(ctx, int(os.Stdin.Fd())) },
	}
}

// ReadLine reads a line from standard input, unless ctx ends before.
func (s *Streams) ReadLine(ctx context.Context) (string, error) {
	return await(ctx, func() (string, error) { return bufio.NewReader(s.In).ReadString('\n') })
}
