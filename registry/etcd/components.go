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

// invalidate checks everything, because etcd's data may have been replaced.
func (p *components) invalidate() {
	if p.err != nil {
		return
	}
	p.views.Invalidate()
	p.registrar.Invalidate()
}
