package etcd

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
)

// handshake connects to a server that has a certificate, and returns what the client says.
func handshake(t *testing.T, client *tls.Config, name, cert, key string) error {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	near, far := connection(t)
	server := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Handshake() // the client says what it thinks of it
		_ = far.Close()
	}()
	config := client.Clone() // as gRPC does it
	config.ServerName = name
	err = tls.Client(near, config).Handshake()
	_ = near.Close()
	<-done
	return err
}

// connection returns both ends of one that has buffers: in a failed handshake both sides write.
func connection(t *testing.T) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	near, err = net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	far, err = listener.Accept()
	require.NoError(t, err)
	require.NoError(t, near.SetDeadline(time.Now().Add(10*time.Second)))
	return near, far
}

func TestTheCAIsReadAgainAtEveryHandshake(t *testing.T) {
	clearEnvironment(t)
	cert, key := makeCertificate(t)
	file := writeFile(t, "ca.pem", "")
	copyFile(t, cert, file)
	config := settingsOf(t, registry.Addrs("127.0.0.1,localhost"), TLSFiles(file, "", "")).TLS
	require.NoError(t, handshake(t, config, "localhost", cert, key))

	newCert, newKey := makeCertificate(t)
	unknown := handshake(t, config, "localhost", newCert, newKey)
	require.ErrorAs(t, unknown, new(x509.UnknownAuthorityError))
	require.ErrorAs(t, unknown, new(*tls.CertificateVerificationError))
	copyFile(t, newCert, file)
	require.NoError(t, handshake(t, config, "localhost", newCert, newKey))
	require.Error(t, handshake(t, config, "localhost", cert, key), "what isn't in the file any more doesn't count")
}

func TestAnIncompleteCADoesNotBreakWhatWorks(t *testing.T) {
	clearEnvironment(t)
	cert, key := makeCertificate(t)
	whole, err := os.ReadFile(cert)
	require.NoError(t, err)
	file := writeFile(t, "ca.pem", string(whole))
	config := settingsOf(t, TLSFiles(file, "", "")).TLS
	newCert, newKey := makeCertificate(t)
	for name, content := range map[string]string{
		"empty":          "",
		"half":           string(whole[:len(whole)/2]),
		"one and a half": string(whole) + string(whole[:len(whole)/2]),
		"broken":         string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("hunter2")})),
		"good and broken": string(whole) + string(
			pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("hunter2")}),
		),
	} {
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		require.NoError(t, handshake(t, config, "localhost", cert, key), name)
		err := handshake(t, config, "localhost", newCert, newKey)
		require.ErrorContains(t, err, file, "an error says that the file is bad: %s", name)
		require.NotContains(t, err.Error(), "hunter2")
	}
	require.NoError(t, os.Remove(file))
	require.NoError(t, handshake(t, config, "localhost", cert, key))
}

// A host's name and an IP address take different ways through TLS.
func TestTheNameIsVerified(t *testing.T) {
	clearEnvironment(t)
	cert, key := makeCertificate(t) // for localhost and 127.0.0.1
	for _, c := range []struct{ addresses, name, err string }{
		{"localhost", "localhost", ""},
		{"127.0.0.1", "127.0.0.1", ""},
		{"10.0.0.1,127.0.0.1", "127.0.0.1", ""},
		{"other", "other", "not other"},
		{"10.0.0.1", "10.0.0.1", "not 10.0.0.1"},
		{"[::1]", "::1", "not ::1"},
		{"localhost", "10.0.0.1", "no host name"},
	} {
		config := settingsOf(t, registry.Addrs(c.addresses), TLSFiles(cert, "", "")).TLS
		err := handshake(t, config, c.name, cert, key)
		if c.err == "" {
			require.NoError(t, err, c.name)
		} else {
			require.ErrorContains(t, err, c.err)
		}
	}
}

func TestClientCertificatesAreReadAgainAtEveryHandshake(t *testing.T) {
	clearEnvironment(t)
	cert, key := makeCertificate(t)
	s := settingsOf(t, TLSFiles("", cert, key))
	before, err := s.TLS.GetClientCertificate(nil)
	require.NoError(t, err)

	newCert, newKey := makeCertificate(t)
	copyFile(t, newCert, cert)
	half, err := s.TLS.GetClientCertificate(nil)
	require.NoError(t, err)
	require.Equal(t, before.Certificate, half.Certificate, "it doesn't go with its key yet")
	copyFile(t, newKey, key)
	after, err := s.TLS.GetClientCertificate(nil)
	require.NoError(t, err)
	require.False(t, bytes.Equal(before.Certificate[0], after.Certificate[0]))
}

// makeCertificate writes a self-signed certificate and its key, and returns their files.
func makeCertificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "test"},
		NotAfter:              time.Now().Add(time.Hour),
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return writePEM(t, "cert.pem", "CERTIFICATE", public), writePEM(t, "key.pem", "PRIVATE KEY", encoded)
}

func writePEM(t *testing.T, name, kind string, content []byte) string {
	t.Helper()
	return writeFile(t, name, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})))
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	return name
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, content, 0o600))
}
