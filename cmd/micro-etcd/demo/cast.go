package demo

import "fmt"

// role is a service of the fleet.
type role struct {
	name     string
	handler  any
	few      int // nodes
	many     int
	major    int // of the version
	minor    int
	metadata map[string]string
}

func (r *role) version() string { return fmt.Sprintf("%d.%d.0", r.major, r.minor) }

// cast returns the services that the fleet begins with.
func cast() []*role {
	return []*role{
		{name: "shop.gateway", handler: &Gateway{}, few: 2, many: 5, major: 3, minor: 4, metadata: map[string]string{
			"tier": "edge",
		}},
		{name: "shop.catalog", handler: &Catalog{}, few: 3, many: 6, major: 2, minor: 1, metadata: map[string]string{
			"tier": "core", "cache": "warm",
		}},
		{name: "shop.cart", handler: &Cart{}, few: 2, many: 4, major: 1, minor: 9, metadata: map[string]string{
			"tier": "core",
		}},
		{name: "shop.payment", handler: &Payment{}, few: 2, many: 3, major: 1, minor: 2, metadata: map[string]string{
			"tier": "core", "pci": "true",
		}},
		{name: "shop.search", handler: &Catalog{}, few: 2, many: 5, major: 0, minor: 8, metadata: map[string]string{
			"tier": "core", "shard": "eu",
		}},
		{name: "users", handler: &Users{}, few: 2, many: 4, major: 5, minor: 0, metadata: map[string]string{
			"tier": "platform",
		}},
		{name: "mailer", handler: &Mailer{}, few: 1, many: 2, major: 1, minor: 0, metadata: map[string]string{
			"tier": "platform",
		}},
		{name: "sessions", handler: &Users{}, few: 2, many: 3, major: 2, minor: 3, metadata: map[string]string{
			"tier": "platform",
		}},
	}
}

var zones = []string{"eu-1a", "eu-1b", "eu-1c"}
