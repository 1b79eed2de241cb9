package etcd

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	defaultAddress = "127.0.0.1:2379"
	defaultPort    = "2379"
)

// address is one parsed etcd address.
type address struct {
	scheme string // "http", "https", "unix", "unixs", or "" when the address didn't say
	host   string // host:port, or the path of a socket
}

func (a address) isSocket() bool { return a.scheme == "unix" || a.scheme == "unixs" }

// demands returns "https" or "http" for an address that has to do with TLS or without, or "". A unix socket is plain
// unless TLS is asked for, as it is to the etcd client (client/v3 internal/endpoint, schemeToCredsRequirement).
func (a address) demands() string {
	switch a.scheme {
	case "unix":
		return ""
	case "unixs":
		return "https"
	}
	return a.scheme
}

// parseAddresses reads a list of addresses, each of which may itself be a list with commas.
func parseAddresses(list []string) ([]address, error) {
	var addresses []address
	joined := strings.Join(list, ",")
	for _, item := range strings.Split(joined, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		a, err := parseAddress(item)
		if err != nil {
			if strings.Contains(joined, "@") { // a password with a comma has been split
				return nil, fmt.Errorf("%w %q: credentials don't belong here, use Auth", ErrAddress, redact(joined))
			}
			return nil, err
		}
		addresses = append(addresses, a)
	}
	if len(addresses) == 0 {
		return nil, fmt.Errorf("%w: %q names no address", ErrAddress, list)
	}
	return addresses, nil
}

func parseAddress(s string) (address, error) {
	bad := func(why string) (address, error) {
		return address{}, fmt.Errorf("%w %q: %s", ErrAddress, s, why)
	}
	scheme, rest, found := strings.Cut(s, "://")
	scheme = strings.ToLower(scheme)
	switch {
	case !found:
		scheme, rest = "", s
	case scheme == "unix" || scheme == "unixs":
		// The etcd client and gRPC read it as a URL.
		if u, err := url.Parse("unix://" + rest); rest == "" || err != nil || u.Host+u.Path != rest {
			return bad("no plain path")
		}
		return address{scheme, rest}, nil
	case scheme == "http" || scheme == "https":
		rest = strings.TrimSuffix(rest, "/")
	default:
		return bad("unknown scheme, want http, https, unix or unixs")
	}
	host, port, err := splitHostPort(rest)
	if err != nil {
		return bad(err.Error())
	}
	return address{scheme, net.JoinHostPort(host, port)}, nil
}

// splitHostPort splits "host", "host:port", "::1", "[::1]" and "[::1]:port".
func splitHostPort(s string) (host, port string, err error) {
	host, port = s, defaultPort
	bare := s
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		bare = s[1 : len(s)-1]
	}
	if _, err := netip.ParseAddr(bare); err == nil {
		host = bare
	} else if strings.Contains(s, ":") {
		if host, port, err = net.SplitHostPort(s); err != nil {
			return "", "", fmt.Errorf("want host:port")
		}
		if strings.HasPrefix(s, ":") {
			host = "localhost" // as for package net, etcdctl and the official plugin
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", fmt.Errorf("port %q is not a number from 1 to 65535", port)
	}
	if !validHost(host) {
		return "", "", fmt.Errorf("%q is no host name or IP address", host)
	}
	return host, port, nil
}

func validHost(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Zone() == ""
	}
	return host != "" && !strings.HasPrefix(host, "-") && !strings.ContainsFunc(host, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		return !letter && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
	})
}

// redact hides the credentials of addresses that shouldn't have any.
func redact(s string) string {
	return "..." + s[strings.LastIndexByte(s, '@'):]
}

// endpoints gives every address the list's scheme: https when secure, else what the addresses say, else http if one is
// a socket, else the fallback. All connections of a client use TLS, or none does.
func endpoints(addresses []address, secure bool, fallback string) (list []string, scheme string, err error) {
	if secure {
		scheme = "https"
	}
	for _, a := range addresses {
		switch want := a.demands(); {
		case want == "" || want == scheme:
		case scheme == "":
			scheme = want
		case secure:
			return nil, "", fmt.Errorf("%w %q: plain, but TLS is asked for", ErrAddress, a.scheme+"://"+a.host)
		default:
			return nil, "", fmt.Errorf("%w %q: a list must not mix http and https", ErrAddress, a.scheme+"://"+a.host)
		}
	}
	switch {
	case scheme != "":
	case slices.ContainsFunc(addresses, address.isSocket):
		scheme = "http"
	default:
		scheme = fallback
	}
	for _, a := range addresses {
		if a.isSocket() {
			list = append(list, a.scheme+"://"+a.host)
			continue
		}
		list = append(list, scheme+"://"+a.host)
	}
	return list, scheme, nil
}

// hosts returns the names or IP addresses in a list.
func hosts(addresses []address) []string {
	var names []string
	for _, a := range addresses {
		if host, _, err := net.SplitHostPort(a.host); err == nil {
			names = append(names, host)
		}
	}
	return names
}
