package main

import (
	"fmt"
	"io"
	"strings"

	"go-micro.dev/v4/logger"
)

// lines is a go-micro logger that writes lines. Go-micro's own one writes to standard output, whatever
// its options say (logger/default.go, Log), where the data is.
type lines struct{ to io.Writer }

func (l lines) Init(...logger.Option) error         { return nil }
func (l lines) Options() logger.Options             { return logger.Options{} }
func (l lines) Fields(map[string]any) logger.Logger { return l }
func (l lines) String() string                      { return "lines" }

func (l lines) Log(level logger.Level, v ...any) { l.write(level, fmt.Sprint(v...)) }

func (l lines) Logf(level logger.Level, format string, v ...any) {
	l.write(level, fmt.Sprintf(format, v...))
}

func (l lines) write(level logger.Level, text string) {
	if level >= logger.InfoLevel {
		_, _ = fmt.Fprintln(l.to, harmless(strings.TrimRight(text, "\n"))) // nobody is left to be told
	}
}

// Go-micro's parts log to this one unless they are told otherwise.
func init() { logger.DefaultLogger = lines{io.Discard} }
