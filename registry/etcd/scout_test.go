package etcd

import (
	"io"
	stdlog "log"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
)

// With a password too, errors say what is wrong with the connection.
func TestWithAPasswordTroubleIsExplained(t *testing.T) {
	clearEnvironment(t)
	secure := httptest.NewUnstartedServer(nil)
	secure.EnableHTTP2 = true
	secure.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	for _, c := range []struct{ name, address, want string }{
		{"unknown authority", secure.URL, "x509: certificate signed by unknown authority"},
		{"plain to TLS", strings.Replace(secure.URL, "https", "http", 1), "error reading server preface"},
		{"nobody there", "unix://" + t.TempDir() + "/nobody.sock", "no such file or directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			logs := &recorder{}
			r, err := New(registry.Addrs(c.address), Auth("bob", "secret"), registry.Timeout(time.Second), registry.Logger(logs))
			require.NoError(t, err)
			began := time.Now()
			_, err = r.GetService("greeter")
			require.ErrorContains(t, err, c.want)
			_, err = r.ListServices()
			require.ErrorContains(t, err, c.want)
			_, err = r.Client(t.Context())
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, r.Register(greeter(1), registry.RegisterTTL(time.Minute)), c.want)
			require.Less(t, time.Since(began), 4*time.Second+time.Second)
			require.ErrorContains(t, r.Status().Registrations[0].Err, c.want)
			_ = r.Close()
			lines := strings.Join(logs.logged(), "\n")
			require.Contains(t, lines, "can't connect to etcd at")
			require.NotContains(t, lines, "secret")
		})
	}
}
