package etcd

import (
	"crypto/tls"
	"encoding/pem"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/logger"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/micro-etcd/micro-etcd/internal/etcdconn"
)

// clearEnvironment takes away what the machine's environment may say.
func clearEnvironment(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"MICRO_REGISTRY_ADDRESS", "ETCD_USERNAME", "ETCD_PASSWORD", "ETCD_CACERT", "ETCD_CERT", "ETCD_KEY",
	} {
		t.Setenv(name, "")
	}
}

// settingsOf returns what options and the environment come to.
func settingsOf(t *testing.T, opts ...registry.Option) settings {
	t.Helper()
	r, err := New(opts...)
	require.NoError(t, err)
	return r.components.Load().config.settings
}

// newClient returns an etcd client of the caller's own, which never connects.
func newClient(t *testing.T) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://callers.own:1"}, Logger: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestDefaults(t *testing.T) {
	clearEnvironment(t)
	r, err := New()
	require.NoError(t, err)
	require.Equal(t, "etcd", r.String())
	require.Equal(t, 5*time.Second, r.Options().Timeout)
	require.Equal(t, logger.DefaultLogger, r.Options().Logger)
	require.NotNil(t, r.Options().Context)
	c := r.components.Load().config
	require.Equal(t, "/micro/registry/", c.keys.Prefix)
	require.Equal(t, settings{Config: etcdconn.Config{Endpoints: []string{"http://127.0.0.1:2379"}}}, c.settings)
}

func TestTheEnvironmentStandsInForMissingOptions(t *testing.T) {
	clearEnvironment(t)
	cert, key := makeCertificate(t)
	ca, _ := makeCertificate(t)
	t.Setenv("MICRO_REGISTRY_ADDRESS", " a , b:1,,[::1] ")
	t.Setenv("ETCD_USERNAME", "root")
	t.Setenv("ETCD_PASSWORD", "hunter2")

	s := settingsOf(t)
	require.Equal(t, []string{"http://a:2379", "http://b:1", "http://[::1]:2379"}, s.Endpoints)
	require.Equal(t, credentials{"root", "hunter2"}, s.credentials())
	require.Nil(t, s.TLS)

	t.Setenv("ETCD_CACERT", ca)
	t.Setenv("ETCD_CERT", cert)
	t.Setenv("ETCD_KEY", key)
	s = settingsOf(t)
	require.Equal(t, []string{"https://a:2379", "https://b:1", "https://[::1]:2379"}, s.Endpoints)
	require.Equal(t, etcdconn.TLSFiles{CA: ca, Cert: cert, Key: key}, s.tlsFiles)
	require.NotNil(t, s.TLS.VerifyConnection)
	require.NotNil(t, s.TLS.GetClientCertificate)
}

func TestTheEnvironmentIsReadOnce(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("MICRO_REGISTRY_ADDRESS", "a")
	r, err := New()
	require.NoError(t, err)
	t.Setenv("MICRO_REGISTRY_ADDRESS", "b")
	require.NoError(t, r.Init(registry.Timeout(time.Second)))
	require.Equal(t, []string{"http://a:2379"}, r.Status().Endpoints)
}

func TestHalfOfTheEnvironmentsCredentialsAreNone(t *testing.T) {
	for _, name := range []string{"ETCD_USERNAME", "ETCD_PASSWORD"} {
		clearEnvironment(t)
		t.Setenv(name, "hunter2")
		require.Zero(t, settingsOf(t).credentials(), name)
	}
}

func TestTheEnvironmentIsValidatedToo(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("MICRO_REGISTRY_ADDRESS", "a,b:c:d")
	_, err := New()
	require.ErrorIs(t, err, ErrAddress)
	require.ErrorContains(t, err, `"b:c:d"`)

	clearEnvironment(t)
	t.Setenv("ETCD_CACERT", "/no/such/ca")
	_, err = New()
	require.ErrorIs(t, err, ErrTLS)
	require.ErrorContains(t, err, "/no/such/ca")
}

func TestAnExplicitOptionBeatsTheEnvironment(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("MICRO_REGISTRY_ADDRESS", "a:b:c")
	t.Setenv("ETCD_USERNAME", "env")
	t.Setenv("ETCD_PASSWORD", "env")
	t.Setenv("ETCD_CACERT", "/no/such/ca")
	ca, _ := makeCertificate(t)

	s := settingsOf(t, registry.Addrs("h"), Auth("root", "hunter2"), TLSFiles(ca, "", ""))
	require.Equal(t, []string{"https://h:2379"}, s.Endpoints)
	require.Equal(t, credentials{"root", "hunter2"}, s.credentials())
	require.Equal(t, etcdconn.TLSFiles{CA: ca}, s.tlsFiles)

	callers := &tls.Config{ServerName: "callers"}
	s = settingsOf(t, registry.Addrs("h"), Auth("", ""), registry.TLSConfig(callers))
	require.Zero(t, s.credentials())
	require.Equal(t, "callers", s.TLS.ServerName)
	require.Nil(t, s.TLS.RootCAs)

	client := newClient(t)
	require.Equal(
		t, settings{Config: etcdconn.Config{Client: client, Endpoints: client.Endpoints()}}, settingsOf(t, Client(client)),
	)
}

func TestAPlainAddressIsNotOverruledByTheEnvironmentsCertificates(t *testing.T) {
	clearEnvironment(t)
	ca, _ := makeCertificate(t)
	for _, file := range []string{ca, "/no/such/ca"} {
		t.Setenv("ETCD_CACERT", file)
		require.Equal(t, settings{
			Config: etcdconn.Config{Endpoints: []string{"http://h:2379"}},
		}, settingsOf(t, registry.Addrs("http://h")))
		require.Equal(
			t, settings{Config: etcdconn.Config{Endpoints: []string{"unix:///s"}}}, settingsOf(t, registry.Addrs("unix:///s")),
		)
		require.Equal(t, settings{
			Config: etcdconn.Config{Endpoints: []string{"unix:///s", "http://h:2379"}},
		}, settingsOf(t, registry.Addrs("unix:///s,h")))
	}
}

func TestASocketIsAskedWithTLSIfSomethingSaysSo(t *testing.T) {
	clearEnvironment(t)
	ca, _ := makeCertificate(t)
	require.NotNil(t, settingsOf(t, registry.Addrs("unixs:///s")).TLS)
	require.NotNil(t, settingsOf(t, registry.Addrs("unix:///s"), TLSFiles(ca, "", "")).TLS)
	require.NotNil(t, settingsOf(t, registry.Addrs("unix:///s"), registry.Secure(true)).TLS)
	t.Setenv("ETCD_CACERT", ca)
	require.Equal(t, etcdconn.TLSFiles{CA: ca}, settingsOf(t, registry.Addrs("unixs:///s")).tlsFiles)
}

func TestInitBeatsBoth(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("MICRO_REGISTRY_ADDRESS", "environment")
	r, err := New(registry.Addrs("option"), registry.Timeout(time.Second), Auth("root", "hunter2"))
	require.NoError(t, err)
	require.Equal(t, []string{"http://option:2379"}, r.Status().Endpoints)
	require.NoError(t, r.Init(registry.Addrs("init1,init2")))
	require.Equal(t, []string{"http://init1:2379", "http://init2:2379"}, r.Status().Endpoints)
	require.Equal(t, time.Second, r.Options().Timeout, "options that Init doesn't give stay")
	require.Equal(t, credentials{"root", "hunter2"}, r.components.Load().config.settings.credentials())
}

func TestHTTPSTurnsVerifiedTLSOn(t *testing.T) {
	clearEnvironment(t)
	for _, opts := range [][]registry.Option{
		{registry.Addrs("https://a,b")},
		{registry.Addrs("a,b"), registry.Secure(true)},
		{registry.Addrs("https://a", "https://b"), registry.Secure(true)},
	} {
		s := settingsOf(t, opts...)
		require.Equal(t, []string{"https://a:2379", "https://b:2379"}, s.Endpoints)
		require.NotNil(t, s.TLS)
		require.False(t, s.TLS.InsecureSkipVerify)
		require.Nil(t, s.TLS.RootCAs, "the system's")
	}
}

func TestTLSFilesAreValidated(t *testing.T) {
	clearEnvironment(t)
	cert, key := makeCertificate(t)
	other, otherKey := makeCertificate(t)
	garbage := writeFile(t, "garbage.pem", "hunter2")
	broken := writePEM(t, "broken.pem", "CERTIFICATE", []byte("hunter2"))
	missing := t.TempDir() + "/missing.pem"
	for _, c := range []struct {
		name          string
		ca, cert, key string
		culprit       string
	}{
		{"no CA file", missing, "", "", missing},
		{"CA is a directory", t.TempDir(), "", "", "is a directory"},
		{"CA is garbage", garbage, "", "", garbage},
		{"CA is broken", broken, "", "", broken},
		{"CA is a key", key, "", "", key},
		{"CA is empty", writeFile(t, "empty.pem", ""), "", "", "empty.pem"},
		{"no certificate file", "", missing, key, missing},
		{"no key file", "", cert, missing, missing},
		{"certificate without key", "", cert, "", cert},
		{"key without certificate", "", "", key, key},
		{"certificate is garbage", cert, garbage, key, garbage},
		{"key is garbage", cert, cert, garbage, garbage},
		{"key of another certificate", cert, cert, otherKey, otherKey},
		{"certificate of another key", cert, other, key, other},
		{"exchanged", "", key, cert, key},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(TLSFiles(c.ca, c.cert, c.key))
			require.ErrorIs(t, err, ErrTLS)
			require.ErrorContains(t, err, c.culprit)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestAnEncryptedKeyIsAnErrorThatSaysSo(t *testing.T) {
	clearEnvironment(t)
	cert, key := makeCertificate(t)
	whole, err := os.ReadFile(key)
	require.NoError(t, err)
	parameters := string(pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte("hunter2")}))
	for name, block := range map[string]*pem.Block{
		"PKCS 8": {Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("hunter2")},
		"traditional": {Type: "EC PRIVATE KEY", Headers: map[string]string{
			"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00",
		}, Bytes: []byte("hunter2")},
	} {
		encrypted := string(pem.EncodeToMemory(block))
		for _, content := range []string{encrypted, parameters + encrypted} {
			file := writeFile(t, "encrypted.pem", content)
			_, err := New(TLSFiles("", cert, file))
			require.ErrorIs(t, err, ErrTLS, name)
			require.ErrorContains(t, err, "the private key is encrypted", name)
			require.ErrorContains(t, err, file)
			require.NotContains(t, err.Error(), "hunter2")
		}
		both := writeFile(t, "both.pem", string(whole)+encrypted)
		require.NotNil(t, settingsOf(t, TLSFiles("", cert, both)).TLS, "the first key counts")
	}
}

func TestImpossibleOptionsAreErrors(t *testing.T) {
	clearEnvironment(t)
	client := newClient(t)
	ca, _ := makeCertificate(t)
	for name, opts := range map[string][]registry.Option{
		"negative timeout":       {registry.Timeout(-1)},
		"Auth without password":  {Auth("root", "")},
		"Auth without user":      {Auth("", "hunter2")},
		"empty prefix":           {Prefix("")},
		"prefix of slashes":      {Prefix("///")},
		"no client":              {Client(nil)},
		"zero client":            {Client(&clientv3.Client{})},
		"nil option":             {registry.Timeout(time.Second), nil},
		"LogConfig of nothing":   {LogConfig(&zap.Config{})},
		"Client and Addrs":       {registry.Addrs("h"), Client(client)},
		"Client and Secure":      {Client(client), registry.Secure(true)},
		"Client and TLSConfig":   {Client(client), registry.TLSConfig(&tls.Config{MinVersion: tls.VersionTLS12})},
		"Client and Auth":        {Client(client), Auth("root", "hunter2")},
		"Client and LogConfig":   {Client(client), LogConfig(&zap.Config{})},
		"Client and TLSFiles":    {Client(client), TLSFiles(ca, "", "")},
		"TLSFiles and TLSConfig": {TLSFiles(ca, "", ""), registry.TLSConfig(&tls.Config{MinVersion: tls.VersionTLS12})},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(opts...)
			require.ErrorIs(t, err, ErrOption)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	for name, opt := range map[string]registry.Option{
		"Secure":    registry.Secure(true),
		"TLSConfig": registry.TLSConfig(&tls.Config{MinVersion: tls.VersionTLS12}),
		"TLSFiles":  TLSFiles(ca, "", ""),
	} {
		_, err := New(registry.Addrs("http://h"), opt)
		require.ErrorIs(t, err, ErrAddress, name)
		require.ErrorContains(t, err, `"http://h:2379"`, name)
	}
}

func (s settings) credentials() credentials { return credentials{s.Username, s.Password} }
