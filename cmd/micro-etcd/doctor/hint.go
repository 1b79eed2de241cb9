package doctor

import (
	"fmt"
	"strings"
)

// Hint returns an error with what it most likely means, where its own words hide that: we speak TLS and etcd doesn't.
// The address is that of the registry which returned the error.
func Hint(address string, err error) error {
	text := err.Error()
	if strings.HasPrefix(address, "https://") &&
		(strings.Contains(
			text, "authentication handshake failed: EOF",
		) || strings.Contains(text, "first record does not look like a TLS handshake")) {
		return fmt.Errorf("%w (TLS, but etcd seems to be plain)", err)
	}
	return err
}
