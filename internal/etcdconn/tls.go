package etcdconn

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"

	"go.etcd.io/etcd/client/pkg/v3/tlsutil"
)

// TLSFiles are the names of PEM files.
type TLSFiles struct{ CA, Cert, Key string }

// certificates are PEM files that are read again at every handshake, so that they can be renewed without a restart.
// While a file can't be read, or doesn't go with the other one, what was read before goes on: a renewal isn't atomic.
type certificates struct {
	files TLSFiles
	hosts []string // of the endpoints, in case that they are IP addresses

	mu    sync.Mutex
	roots *x509.CertPool
	pair  *tls.Certificate
}

// Config returns a TLS configuration that uses the files. They are read once now, so that a bad one is an error now and
// not at the first handshake.
func (f TLSFiles) Config(hosts []string) (*tls.Config, error) {
	if (f.Cert == "") != (f.Key == "") {
		return nil, fmt.Errorf("certificate %q and key %q belong together", f.Cert, f.Key)
	}
	c := &certificates{files: f, hosts: hosts}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		if _, err := c.readRoots(); err != nil {
			return nil, err
		}
		// Go's own verification has its roots fixed. VerifyConnection takes its place.
		config.InsecureSkipVerify = true
		config.VerifyConnection = c.verify
	}
	if f.Cert != "" {
		if _, err := c.readPair(); err != nil {
			return nil, err
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, _ := c.readPair()
			return pair, nil
		}
	}
	return config, nil
}

// User returns the name in the client's certificate, which etcd takes for a user's (--client-cert-auth), or "".
func (f TLSFiles) User() string {
	pair, err := tlsutil.NewCert(f.Cert, f.Key, nil)
	if err != nil {
		return ""
	}
	return commonName(*pair)
}

// UserOf is User for a configuration with a certificate in it.
func UserOf(config *tls.Config) string {
	if len(config.Certificates) == 0 {
		return ""
	}
	return commonName(config.Certificates[0])
}

func commonName(pair tls.Certificate) string {
	if len(pair.Certificate) == 0 {
		return ""
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return ""
	}
	return leaf.Subject.CommonName
}

// readPair returns the client's certificate: the one in the files, or the last good one and why.
func (c *certificates) readPair() (*tls.Certificate, error) {
	pair, err := tlsutil.NewCert(c.files.Cert, c.files.Key, nil)
	if err != nil && isEncrypted(c.files.Key) {
		err = errEncrypted // Go's "failed to parse" doesn't say why
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		return c.pair, fmt.Errorf("certificate %q, key %q: %w", c.files.Cert, c.files.Key, err)
	}
	c.pair = pair
	return pair, nil
}

// readRoots returns the CA's certificates: those in the file, or the last good ones and why.
func (c *certificates) readRoots() (*x509.CertPool, error) {
	roots, err := readPool(c.files.CA)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		return c.roots, err
	}
	c.roots = roots
	return roots, nil
}

var (
	errNoCertificate = errors.New("no certificate in it")
	errCutOff        = errors.New("cut off in a certificate")
	errEncrypted     = errors.New("the private key is encrypted, and has to be decrypted first")
)

// isEncrypted reports whether a file holds a private key that needs a password, in either of the two ways of PEM.
func isEncrypted(name string) bool {
	rest, err := os.ReadFile(name)
	if err != nil {
		return false
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return false
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.HasSuffix(block.Headers["Proc-Type"], "ENCRYPTED") {
			return true
		}
	}
}

// readPool reads a file of certificates, of which not a single one may be broken.
func readPool(name string) (*x509.CertPool, error) {
	rest, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("CA: %w", err)
	}
	pool, empty := x509.NewCertPool(), true
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("CA %q: %w", name, err)
		}
		pool.AddCert(certificate)
		empty = false
	}
	switch {
	case bytes.Contains(rest, []byte("-----BEGIN")):
		return nil, fmt.Errorf("CA %q: %w", name, errCutOff)
	case empty:
		return nil, fmt.Errorf("CA %q: %w", name, errNoCertificate)
	}
	return pool, nil
}

// verify is what Go does itself when the roots are fixed.
func (c *certificates) verify(state tls.ConnectionState) error {
	roots, stale := c.readRoots()
	intermediates := x509.NewCertPool()
	for _, certificate := range state.PeerCertificates[1:] {
		intermediates.AddCert(certificate)
	}
	leaf := state.PeerCertificates[0]
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates})
	if err == nil {
		err = c.verifyName(leaf, state.ServerName)
	}
	if err == nil {
		return nil
	}
	if stale != nil {
		err = fmt.Errorf("%w (with the CA as it was read before: %w)", err, stale)
	}
	return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
}

// verifyName checks that a certificate is the server's. TLS doesn't transmit IP addresses as names, so for those the
// connection doesn't say which one it is: then it must be one of the endpoints'.
func (c *certificates) verifyName(leaf *x509.Certificate, name string) error {
	if name != "" {
		return leaf.VerifyHostname(name)
	}
	err := errors.New("no host name to compare the certificate with")
	for _, host := range c.hosts {
		if _, no := netip.ParseAddr(host); no != nil {
			continue
		}
		if err = leaf.VerifyHostname(host); err == nil {
			return nil
		}
	}
	return err
}
