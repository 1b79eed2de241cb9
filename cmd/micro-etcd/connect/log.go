package connect

import (
	"fmt"
	"io"
	"strings"

	"go-micro.dev/v4/logger"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
)

// lines is a go-micro logger that writes lines. Go-micro's own one writes to standard output, whatever its options say
// (logger/default.go, Log), where the data is.
type lines struct{ to io.Writer }

// NewLogger returns a logger that writes to w, and nothing that is less than information.
func NewLogger(w io.Writer) logger.Logger { return lines{w} }

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
		_, _ = fmt.Fprintln(l.to, output.Sanitize(strings.TrimRight(text, "\n"))) // nobody is left to be told
	}
}
