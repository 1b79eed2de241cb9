package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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
)

// authority is a CA whose files are in a directory of their own.
type authority struct {
	dir         string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(tb testing.TB) *authority {
	tb.Helper()
	a := &authority{dir: tb.TempDir()}
	a.certificate = template("test CA")
	a.certificate.IsCA, a.certificate.BasicConstraintsValid = true, true
	a.certificate.KeyUsage = x509.KeyUsageCertSign
	var der []byte
	der, a.key = a.sign(tb, a.certificate, nil)
	writePEM(tb, a.ca(), "CERTIFICATE", der)
	return a
}

// ca is the file with the CA's certificate.
func (a *authority) ca() string { return filepath.Join(a.dir, "ca.pem") }

// issue writes a certificate and key for a name, which also is a user of etcd, and returns their files.
func (a *authority) issue(tb testing.TB, name string, change ...func(*x509.Certificate)) (cert, key string) {
	tb.Helper()
	c := template(name)
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	c.IPAddresses, c.DNSNames = []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost"}
	for _, f := range change {
		f(c)
	}
	der, private := a.sign(tb, c, a.key)
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(tb, err)
	cert, key = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+"-key.pem")
	writePEM(tb, cert, "CERTIFICATE", der)
	writePEM(tb, key, "PRIVATE KEY", encoded)
	return cert, key
}

// sign makes a key and a certificate for it, signed by itself unless there is a signer.
func (a *authority) sign(tb testing.TB, c *x509.Certificate, signer *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
	tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	if signer == nil {
		signer = private
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.certificate, private.Public(), signer)
	require.NoError(tb, err)
	return der, private
}

func template(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		panic(err) // there is no randomness
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

func expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }

func elsewhere(c *x509.Certificate) {
	c.IPAddresses, c.DNSNames = []net.IP{net.IPv4(10, 9, 8, 7)}, []string{"elsewhere.example"}
}

func writePEM(tb testing.TB, file, kind string, content []byte) {
	tb.Helper()
	require.NoError(tb, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600))
}

// replaceFile puts a file in the place of another at once, as a renewal should.
func replaceFile(tb testing.TB, from, to string) {
	tb.Helper()
	content, err := os.ReadFile(from)
	require.NoError(tb, err)
	require.NoError(tb, os.WriteFile(to+".new", content, 0o600))
	require.NoError(tb, os.Rename(to+".new", to))
}

func (a *authority) pool(tb testing.TB) *x509.CertPool {
	tb.Helper()
	pool := x509.NewCertPool()
	content, err := os.ReadFile(a.ca())
	require.NoError(tb, err)
	require.True(tb, pool.AppendCertsFromPEM(content))
	return pool
}
