// Command coredns is CoreDNS with no more plugins than docs/dns.md uses, and bind.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
)

func main() {
	dnsserver.Directives = []string{"bind", "errors", "cache", "forward"}
	coremain.Run()
}
