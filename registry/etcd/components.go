package etcd

import (
	"github.com/micro-etcd/micro-etcd/internal/registration"
	"github.com/micro-etcd/micro-etcd/internal/view"
)

// components are built from the current configuration, and replaced together.
type components struct {
	err       error // the configuration's; the rest is nil then
	config    *config
	registrar *registration.Registrar
	views     *view.Cache
}

// resync checks everything, because etcd's data may have been replaced.
func (c *components) resync() {
	if c.err != nil {
		return
	}
	c.views.Resync()
	c.registrar.Resync()
}
