package fleet

import (
	"cmp"
	"net"
	"net/url"
	"strings"
)

// HostPort takes apart a node's address that is dialed with TCP: a host and a port, or a URL of HTTP.
func HostPort(address string) (host, port string, ok bool) {
	if scheme, _, found := strings.Cut(address, "://"); found {
		u, err := url.Parse(address)
		if err != nil || scheme != "http" && scheme != "https" {
			return "", "", false
		}
		return u.Hostname(), cmp.Or(u.Port(), "80"), true
	}
	host, port, err := net.SplitHostPort(address)
	return host, port, err == nil && !strings.Contains(address, "/")
}
