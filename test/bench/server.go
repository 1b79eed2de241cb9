package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/micro-etcd/micro-etcd/etcdtest"
)

// serveEnv makes this program be the server that it starts.
const serveEnv = "BENCH_SERVE_ETCD"

// The values of serveEnv.
const (
	asItComes = "as it comes" // what is written is on the disk before etcd answers
	unflushed = "unflushed"   // a slow disk would make everybody look equally fast
)

// server is an etcd in a process of its own.
type server struct {
	endpoint string
	command  *exec.Cmd
	life     io.Closer // the server ends when this is closed, and so also when this process is killed
}

func startServer(kind string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := exec.CommandContext(context.Background(), self) // until life is closed, so that it can end in order
	c.Env = append(os.Environ(), serveEnv+"="+kind)
	c.Stderr = os.Stderr
	life, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	s := &server{command: c, life: life}
	if _, err := fmt.Fscanln(out, &s.endpoint); err != nil {
		return nil, errors.Join(fmt.Errorf("etcd didn't start: %w", err), s.stop())
	}
	return s, nil
}

func (s *server) stop() error {
	return errors.Join(s.life.Close(), s.command.Wait())
}

// serve is what the server's process does: an etcd for as long as somebody holds the other end of stdin.
func serve() error {
	dir, err := os.MkdirTemp("", "bench-etcd-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := etcdtest.Run(dir, func(c *embed.Config) {
		c.UnsafeNoFsync = os.Getenv(serveEnv) == unflushed
		c.QuotaBackendBytes = 8 << 30 // nothing is compacted, and a run writes more than the default
	})
	if err != nil {
		return err
	}
	defer s.Stop()
	fmt.Println(s.Endpoint())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// counts are what etcd has been asked so far, as it counts itself: by method, "Range" or "Txn" being a request each,
// and "Watch" or "LeaseKeepAlive" the opening of a stream. "message LeaseKeepAlive" is a message on such a stream.
type counts map[string]int

// watchers is the gauge of watches that are open.
const watchers = "watchers"

func (s *server) counts(ctx context.Context) (counts, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.endpoint+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return parseCounts(response.Body)
}

func parseCounts(metrics io.Reader) (counts, error) {
	c := counts{}
	lines := bufio.NewScanner(metrics)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		var key string
		switch {
		case strings.HasPrefix(name, "grpc_server_started_total{"):
			key = label(name, "grpc_method")
		case strings.HasPrefix(name, "grpc_server_msg_received_total{") && label(name, "grpc_type") == "bidi_stream":
			key = "message " + label(name, "grpc_method")
		case name == "etcd_debugging_mvcc_watcher_total":
			key = watchers
		default:
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		c[key] += int(n)
	}
	if len(c) == 0 {
		return nil, errors.New("etcd's metrics hold none that we know")
	}
	return c, lines.Err()
}

func label(metric, name string) string {
	_, rest, _ := strings.Cut(metric, name+`="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// since returns what was added after earlier ones; what didn't change is left out.
func (c counts) since(earlier counts) counts {
	d := counts{}
	for key, n := range c {
		if n != earlier[key] {
			d[key] = n - earlier[key]
		}
	}
	return d
}
