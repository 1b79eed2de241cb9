package connect

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"os"

	"go.etcd.io/etcd/client/pkg/v3/transport"
)

// TLS is for requests beside the registry's.
func (f *Flags) TLS() (*tls.Config, error) {
	ca, cert, key := f.files()
	if (cert == "") != (key == "") {
		return nil, errors.New("--cert and --key belong together")
	}
	config, err := transport.TLSInfo{TrustedCAFile: ca, CertFile: cert, KeyFile: key}.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("TLS files: %w", err)
	}
	return config, nil
}

// files are the PEM files. One that isn't given comes from the environment, as the registry has it.
func (f *Flags) files() (ca, cert, key string) {
	ca = cmp.Or(f.cacert, os.Getenv("ETCD_CACERT"))
	cert = cmp.Or(f.cert, os.Getenv("ETCD_CERT"))
	key = cmp.Or(f.key, os.Getenv("ETCD_KEY"))
	return ca, cert, key
}
