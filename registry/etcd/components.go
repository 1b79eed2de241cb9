package etcd

import (
	"github.com/micro-etcd/micro-etcd/internal/registration"
	"github.com/micro-etcd/micro-etcd/internal/view"
)

// components are what the present configuration comes to. They are replaced as a whole.
type components struct {
	err       error // the configuration's; the rest is nil then
	config    *config
	registrar *registration.Registrar
	views     *view.Cache
}

// invalidate checks everything against an etcd whose data may be others than they were.
func (p *components) invalidate() {
	if p.err != nil {
		return
	}
	p.views.Invalidate()
	p.registrar.Invalidate()
}
