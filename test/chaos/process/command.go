package process

import (
	"time"

	"go-micro.dev/v4/registry"
)

// Command is a line that a service process reads. Each is carried out in a goroutine of its own and answered by one
// event of KindDone.
type Command struct {
	ID       int               `json:"id"`
	Do       string            `json:"do"`
	Service  *registry.Service `json:"service,omitempty"`
	Name     string            `json:"name,omitempty"`
	TTL      time.Duration     `json:"ttl,omitempty"`
	Interval time.Duration     `json:"interval,omitempty"`
	Password string            `json:"password,omitempty"`
	Count    int               `json:"count,omitempty"`
}

// Setup is what a service process is started with.
type Setup struct {
	Endpoints []string      `json:"endpoints"`
	Timeout   time.Duration `json:"timeout"`
	User      string        `json:"user,omitempty"`
	Password  string        `json:"password,omitempty"`
	Checked   bool          `json:"checked,omitempty"` // a health check, which fails after the command sick
	CacheDir  string        `json:"cacheDir,omitempty"`
}

// SetupVariable makes the test binary a service process when it is set.
const SetupVariable = "MICRO_ETCD_CHAOS_SERVICE"

// LookEvery is how often a follower looks up.
const LookEvery = 20 * time.Millisecond
