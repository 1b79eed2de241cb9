package fleet

import (
	"cmp"
	"math"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// HostPort takes apart a node's address that is dialed with TCP: a host and a port, or a URL of HTTP.
func HostPort(address string) (host, port string, ok bool) {
	if scheme, _, found := strings.Cut(address, "://"); found {
		u, err := url.Parse(address)
		if err != nil || scheme != "http" && scheme != "https" {
			return "", "", false
		}
		return u.Hostname(), cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[scheme]), true
	}
	host, port, err := net.SplitHostPort(address)
	return host, port, err == nil && !strings.Contains(address, "/")
}

// WhyUncallable returns "" for an address that may do, and for what a transport of one's own may understand.
func WhyUncallable(address string) string {
	if address == "" {
		return "is empty"
	}
	host, port, ok := HostPort(address)
	ip, err := netip.ParseAddr(host)
	switch {
	case !ok:
		if _, err := netip.ParseAddr(strings.Trim(address, "[]")); err == nil {
			return "has no port"
		}
		return ""
	case host == "":
		return "has no host"
	case err == nil && ip.WithZone("").Unmap().IsUnspecified():
		return "is where a server listens, not where it is"
	}
	if n, err := strconv.Atoi(port); port == "" || err == nil && (n < 1 || n > math.MaxUint16) {
		return "has no usable port"
	}
	return ""
}

// IsHost reports whether a text is an IP address, or can be a host's name: labels of letters, digits, "-" and "_", and
// the last one not of digits only. A dot may follow.
func IsHost(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	text = strings.TrimSuffix(text, ".")
	labels := strings.Split(text, ".")
	_, err := strconv.ParseUint(labels[len(labels)-1], 10, 64)
	return err != nil && len(text) <= 253 && !slices.ContainsFunc(labels, func(label string) bool {
		return label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool {
			return (r < 'a' || 'z' < r) && (r < 'A' || 'Z' < r) && (r < '0' || '9' < r) && r != '-' && r != '_'
		})
	})
}

// IsPort reports whether a text is the number of a port that can be dialed.
func IsPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}
