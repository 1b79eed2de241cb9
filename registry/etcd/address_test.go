package etcd

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

func TestAddressForms(t *testing.T) {
	for in, endpoint := range map[string]string{
		"host":                        "http://host:2379",
		"host:1":                      "http://host:1",
		"host:65535":                  "http://host:65535",
		":2379":                       "http://localhost:2379",
		"https://:1":                  "https://localhost:1",
		" host:1\t":                   "http://host:1",
		"a-b_c.example.com.":          "http://a-b_c.example.com.:2379",
		"10.0.0.1":                    "http://10.0.0.1:2379",
		"10.0.0.1:1":                  "http://10.0.0.1:1",
		"::1":                         "http://[::1]:2379",
		"[::1]":                       "http://[::1]:2379",
		"[::1]:1":                     "http://[::1]:1",
		"::ffff:10.0.0.1":             "http://[::ffff:10.0.0.1]:2379",
		"http://host":                 "http://host:2379",
		"http://host/":                "http://host:2379",
		"HTTP://host:1/":              "http://host:1",
		"http://::1":                  "http://[::1]:2379",
		"http://[::1]":                "http://[::1]:2379",
		"http://[::1]:1":              "http://[::1]:1",
		"https://host":                "https://host:2379",
		"https://10.0.0.1:1":          "https://10.0.0.1:1",
		"https://[2001:db8::1]:1/":    "https://[2001:db8::1]:1",
		"unix:///run/etcd/etcd.sock":  "unix:///run/etcd/etcd.sock",
		"unix://etcd.sock":            "unix://etcd.sock",
		"Unix://localhost:2379012345": "unix://localhost:2379012345",
		"unixs:///run/etcd/etcd.sock": "unixs:///run/etcd/etcd.sock",
	} {
		t.Run(in, func(t *testing.T) {
			addresses, err := parseAddresses([]string{in})
			require.NoError(t, err)
			got, _, err := endpoints(addresses, false, "http")
			require.NoError(t, err)
			require.Equal(t, []string{endpoint}, got)
			requireDialable(t, endpoint)
		})
	}
}

// requireDialable checks that the etcd client understands an endpoint, by what it dials.
func requireDialable(t *testing.T, endpoint string) {
	t.Helper()
	dialed := make(chan string, 100)
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{endpoint},
		Logger:    zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(_ context.Context, addr string) (net.Conn, error) {
			dialed <- addr
			return nil, errors.New("no network here")
		})},
	})
	require.NoError(t, err, endpoint)
	defer func() { _ = client.Close() }()
	client.ActiveConnection().Connect()
	select {
	case addr := <-dialed:
		if path, ok := strings.CutPrefix(strings.Replace(endpoint, "unixs:", "unix:", 1), "unix://"); ok {
			require.Equal(t, path, strings.TrimPrefix(strings.TrimPrefix(addr, "unix:"), "//"))
			return
		}
		u, err := url.Parse(endpoint)
		require.NoError(t, err)
		require.Equal(t, u.Host, addr)
	case <-time.After(10 * time.Second):
		require.FailNow(t, "the etcd client doesn't dial "+endpoint)
	}
}

func TestAddressListsAreSplitAndBlanksTrimmed(t *testing.T) {
	addresses, err := parseAddresses([]string{" a , b:1,", "", ",", "c", "\t[::1]:2 , ::3 "})
	require.NoError(t, err)
	got, scheme, err := endpoints(addresses, false, "https")
	require.NoError(t, err)
	require.Equal(t, "https", scheme)
	require.Equal(t, []string{
		"https://a:2379", "https://b:1", "https://c:2379", "https://[::1]:2", "https://[::3]:2379",
	}, got)
}

func TestABadAddressIsAnErrorThatNamesIt(t *testing.T) {
	for _, in := range []string{
		"host:", "host:0", "host:65536", "host:-1", "host:+1", "host:http", "host:2379x", "10.0.0.1:99999",
		":", ":0", "http://", "https:///", "[]", "[]:1", "unix://",
		"etcd://host", "ftp://host:1", "://host", "unixs://", "unixs:///a?b", "unix:/sock", "http//host", "http:host",
		"host/path", "host:1/", "http://host/v3", "http://host:1/v3", "http://host//", "https://host?q", "https://host#f",
		"ho st", "http:// host", "host :1", "a b:1", "host: 1",
		"a:b:c", "host:1:2", "::g", "1::2::3", "[::1]]", "[[::1]]", "[::1", "::1]", "[::1]1", "[::1]:", "[::1]:0", "[host]",
		"[::1]:1:1",
		"-host", "höst", "ho$t", "host;b", "fe80::1%", "fe80::1%a/b", "fe80::1%a b", "unix://a%zz", "unix:///a?b",
		"unix:///a#b", "unix:///a\x00",
	} {
		t.Run(in, func(t *testing.T) {
			_, err := parseAddresses([]string{"good:1", in})
			require.ErrorIs(t, err, ErrAddress)
			require.ErrorContains(t, err, strconv.Quote(in))
			require.NotContains(t, err.Error(), "good")
		})
	}
}

func TestABlankListIsAnError(t *testing.T) {
	for _, list := range [][]string{{""}, {" ", "\t"}, {",", " , "}} {
		_, err := parseAddresses(list)
		require.ErrorIs(t, err, ErrAddress)
		require.ErrorContains(t, err, "names no address")
	}
}

func TestCredentialsInAnAddressAreRefusedAndNotRepeated(t *testing.T) {
	for _, in := range []string{
		"http://root:hunter2@host:2379",
		"https://root:hunter2@host:2379",
		"root:hunter2@host:2379",
		"hunter2@host:2379",
		"http://root:hun@ter2hunter2@host:2379",
		"http://root:hunter2//hunter2@host:2379",
		"http://root:hunter2://hunter2@host:2379",
		"etcd://root:hunter2@host:2379",
		"root:hunter2://@host:2379",
		"http://root:x,hunter2@host:2379",
		"http://root:hunter2,x@host:2379",
		"http://root:hunter2,@host:2379",
	} {
		_, err := parseAddresses([]string{"good", in})
		require.ErrorIs(t, err, ErrAddress, in)
		require.NotContains(t, err.Error(), "hunter2", in)
		require.ErrorContains(t, err, "@host:2379", in)
	}
}

func TestSchemesMustFitTogether(t *testing.T) {
	for _, c := range []struct {
		list    string
		secure  bool
		want    string // the scheme, or the culprit
		refused bool
	}{
		{list: "a,b", want: "http"},
		{list: "a,b", secure: true, want: "https"},
		{list: "a,https://b", want: "https"},
		{list: "a,http://b", want: "http"},
		{list: "unix:///s,a", want: "http"},
		{list: "unix:///s,https://a", want: "https"},
		{list: "unix:///s", secure: true, want: "https"},
		{list: "unixs:///s,a", want: "https"},
		{list: "unixs:///s", secure: true, want: "https"},
		{list: "unixs:///s,unix:///s", want: "https"},
		{list: "unixs:///s,http://a", want: "http://a:2379", refused: true},
		{list: "http://a,unixs:///s", want: "unixs:///s", refused: true},
		{list: "https://a,b", secure: true, want: "https"},
		{list: "http://a,https://b", want: "https://b:2379", refused: true},
		{list: "https://a,b,http://c", want: "http://c:2379", refused: true},
		{list: "http://a", secure: true, want: "http://a:2379", refused: true},
		{list: "https://a,http://b", secure: true, want: "http://b:2379", refused: true},
	} {
		addresses, err := parseAddresses([]string{c.list})
		require.NoError(t, err)
		eps, scheme, err := endpoints(addresses, c.secure, "http")
		if c.refused {
			require.ErrorIs(t, err, ErrAddress, c.list)
			require.ErrorContains(t, err, strconv.Quote(c.want), c.list)
			continue
		}
		require.NoError(t, err, c.list)
		require.Equal(t, c.want, scheme, c.list)
		for _, ep := range eps {
			require.True(t, strings.HasPrefix(ep, c.want+"://") || strings.HasPrefix(ep, "unix"), ep)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, seed := range []string{
		"host", "host:1", "http://host/", "https://[::1]:1", "unix:///run/etcd.sock", "unix://s", "::1", "[::1", "a,b", " , ",
		"a:b:c",
		"fe80::1%eth0", "fe80::1%25eth0", "http://fe80::1%eth0", "u:p@host", "http://a,https://b", "unix://%", "unix:///a b",
		"unix://a:/b", "unixs:///a,b",
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, list string, secure bool) {
		addresses, err := parseAddresses([]string{list})
		if err != nil {
			require.ErrorIs(t, err, ErrAddress)
			return
		}
		eps, _, err := endpoints(addresses, secure, "http")
		if err != nil {
			require.ErrorIs(t, err, ErrAddress)
			return
		}
		require.Len(t, eps, len(addresses))
		for _, ep := range eps {
			_, err := url.Parse(ep)
			require.NoError(t, err)
			requireDialable(t, ep)
		}
	})
}
