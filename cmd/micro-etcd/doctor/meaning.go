package doctor

import (
	"fmt"
	"strings"
)

// Meaning returns an error with what it most likely means, where gRPC's own words hide that: one side
// speaks TLS and the other doesn't. The address is that of the registry which returned the error.
func Meaning(address string, err error) error {
	text, secure := err.Error(), strings.HasPrefix(address, "https://")
	switch {
	case secure && (strings.Contains(text, "authentication handshake failed: EOF") || strings.Contains(text, "first record does not look like a TLS handshake")):
		return fmt.Errorf("%w (TLS, but etcd seems to be plain)", err)
	case !secure && strings.Contains(text, "error reading server preface"):
		return fmt.Errorf("%w (etcd seems to speak TLS: use https://)", err)
	}
	return err
}
