package health

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// userAgent tells checks from callers in a server's log.
const userAgent = "micro-etcd-health"

// hostPort returns what to dial for a node's address, which may be a URL.
func hostPort(address string) (string, error) {
	if !isURL(address) {
		return address, nil
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if u.Hostname() == "" || port == "" {
		return "", fmt.Errorf("address %q has no host and port", u.Redacted())
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

func isURL(address string) bool { return strings.Contains(address, "://") }
