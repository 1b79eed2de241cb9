package connect

import (
	"errors"
	"fmt"
	"strings"

	"github.com/micro-etcd/micro-etcd/registry/federation"
)

// ErrSeveral says that a command can't be for several data centers.
var ErrSeveral = errors.New("this command is for one data center: give one --dc")

// Each returns the flags for each data center, in the order in which they are given. Without --dc those are the flags
// themselves.
func (f *Flags) Each() []*Flags {
	if len(f.datacenters) == 0 {
		return []*Flags{f}
	}
	var all []*Flags
	for _, text := range f.datacenters {
		one := *f
		one.datacenters = nil
		one.Datacenter, one.Addresses = split(text)
		all = append(all, &one)
	}
	return all
}

// HasDatacenters reports whether data centers have names.
func (f *Flags) HasDatacenters() bool { return f.Datacenter != "" || len(f.datacenters) > 0 }

// split returns the name and the addresses of a data center, as in us1=10.9.0.1,10.9.0.2.
func split(text string) (name string, addresses []string) {
	name, rest, _ := strings.Cut(text, "=")
	return name, []string{rest}
}

// checkDatacenters returns what is wrong with --dc. With one of them the flags become that one's.
func (f *Flags) checkDatacenters() error {
	seen := make(map[string]bool)
	for _, text := range f.datacenters {
		name, addresses := split(text)
		switch {
		case len(f.Addresses) > 0:
			return errors.New("--dc has addresses of its own, and doesn't go with --registry_address")
		case !federation.IsDatacenter(name):
			return fmt.Errorf("--dc %q: %q is no name of a data center: a DNS label in lower case", text, name)
		case strings.Trim(addresses[0], ", ") == "":
			return fmt.Errorf("--dc %q has no addresses, as %s=10.9.0.1:2379 has", text, name)
		case seen[name]:
			return fmt.Errorf("--dc %s is given twice", name)
		}
		seen[name] = true
	}
	if len(f.datacenters) == 1 {
		*f = *f.Each()[0]
	}
	return nil
}
