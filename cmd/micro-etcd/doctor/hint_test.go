package doctor

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/micro-etcd/micro-etcd/etcdtest"
)

func TestTLSThatOneSideOnlySpeaksIsRecognized(t *testing.T) {
	plain := etcdtest.Start(t)
	tls, _ := secured(t, 1, "")
	for address, want := range map[string]string{
		"https://" + plain.Endpoint():         "(TLS, but etcd seems to be plain).",
		"http://" + tls.Members[0].Endpoint(): "or it may expect TLS (https://).",
	} {
		report := examine(t, Target{Addresses: []string{address}, Timeout: time.Second})
		report.only(t, "connection", Critical, address, want)
	}
}

func TestOtherErrorsSpeakForThemselves(t *testing.T) {
	for _, c := range [][2]string{
		{"https://h:1", "connection refused"},
		{"https://h:1", "error reading server preface: remote error: tls: certificate required"},
		{"https://h:1", "authentication handshake failed: tls: failed to verify certificate"},
		{"http://h:1", "etcdserver: authentication failed"},
	} {
		err := errors.New(c[1])
		require.Equal(t, err, Hint(c[0], err))
	}
}
