package etcd

import (
	"fmt"
	"sync"

	"go-micro.dev/v4/logger"
)

// recorder is a go-micro logger that keeps what was logged.
type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) Init(...logger.Option) error         { return nil }
func (r *recorder) Options() logger.Options             { return logger.Options{} }
func (r *recorder) Fields(map[string]any) logger.Logger { return r }
func (r *recorder) String() string                      { return "recorder" }
func (r *recorder) Log(level logger.Level, v ...any)    { r.Logf(level, "%s", fmt.Sprint(v...)) }

func (r *recorder) Logf(level logger.Level, format string, v ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, level.String()+" "+fmt.Sprintf(format, v...))
}

// logged returns the lines so far, each of which begins with its level.
func (r *recorder) logged() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.lines...)
}
