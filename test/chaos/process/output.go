package process

import (
	"encoding/json"
	"io"
	"os"
	"sync"

	"github.com/micro-etcd/micro-etcd/test/chaos/history"
)

// output is where a service process tells what it does and sees: one event a line.
type output struct {
	mu      sync.Mutex
	encoder *json.Encoder
}

func newOutput(to io.Writer) *output { return &output{encoder: json.NewEncoder(to)} }

func (o *output) emit(e history.Event) {
	o.mu.Lock()
	err := o.encoder.Encode(e)
	o.mu.Unlock()
	if err != nil {
		os.Exit(3) // whoever started us is gone
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
