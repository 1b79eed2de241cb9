package page

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// oneConn is a listener for one browser, without a network and so in virtual time.
type oneConn chan net.Conn

func (l oneConn) Accept() (net.Conn, error) {
	if conn, ok := <-l; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

func (l oneConn) Close() error { close(l); return nil }

func (oneConn) Addr() net.Addr { return &net.UnixAddr{} }

// visit asks the page's server for a path, and returns the connection with nothing read from it.
func visit(t *testing.T, handler http.Handler, path string) net.Conn {
	t.Helper()
	browser, conn := net.Pipe()
	listener := make(oneConn, 1)
	listener <- conn
	server := newServer(handler)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { require.NoError(t, server.Close()); require.NoError(t, browser.Close()) })
	_, err := fmt.Fprintf(browser, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
	require.NoError(t, err)
	return browser
}

func TestABrowserThatTakesNoAnswerIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cut := make(chan time.Time, 1)
		began := time.Now()
		visit(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					cut <- time.Now()
					return
				}
			}
		}), "/")
		require.Equal(t, sendTime, (<-cut).Sub(began))
	})
}

func TestAStreamOutlivesTheTimeOfAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newPages([]Datacenter{{}})
		p, in := all[0], bufio.NewReader(visit(t, all.routes(nil), "/api/stream"))
		await := func(text string) {
			for line := ""; line != text; {
				var err error
				line, err = in.ReadString('\n')
				require.NoError(t, err)
			}
		}
		await("event: snapshot\n")
		for i := range 3 {
			time.Sleep(2 * sendTime)
			p.view.apply(appeared(record(fmt.Sprint("s", i), "1", "a", nil)))
			require.NoError(t, p.hub.publish(nil))
			await("event: delta\n")
		}
	})
}
