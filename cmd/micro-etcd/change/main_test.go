package change

import (
	"io"
	"testing"
	"time"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/iostreams"
	"github.com/micro-etcd/micro-etcd/test/leak"
)

func TestMain(m *testing.M) { leak.Verify(m) }

// quiet is for what says nothing that a test wants to read.
func quiet() *app.App {
	return &app.App{Streams: iostreams.Streams{Err: io.Discard}, Flags: connect.Flags{Timeout: 30 * time.Second}}
}
