package federation

import (
	"cmp"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// This file is how every service of every data center is followed: with one watcher for each of those.

// followAll follows everything from now on, and returns what is closed when that was read for the first time, by data
// center.
func (rs *routes) followAll() []chan struct{} {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.listed != nil {
		return rs.listed
	}
	rs.all.Store(true)
	for dc, d := range rs.datacenters {
		listed := make(chan struct{})
		rs.listed = append(rs.listed, listed)
		rs.group.Run(func() {
			first := true
			d.follow(rs.ctx, "", func() error {
				err := rs.readAll(dc)
				if first {
					close(listed)
				}
				first = false
				return err
			}, func(name string) error { return rs.readChanged(dc, name) })
		})
	}
	return rs.listed
}

// readAll reads every service of a data center, and returns an error if one can't be read.
func (rs *routes) readAll(dc int) error {
	names := make(map[string]bool)
	services, err := rs.datacenters[dc].registry.ListServices(registry.ListContext(rs.ctx)) // else each is asked for
	for _, s := range services {
		if s != nil {
			names[s.Name] = true
		}
	}
	for name := range names {
		err = cmp.Or(err, rs.readChanged(dc, name))
	}
	for _, rt := range rs.list() { // what isn't there any more
		if !names[rt.name] && rt.isFollowed(dc) {
			err = cmp.Or(err, rt.read(rt.life, dc))
		}
	}
	return err
}

// readChanged reads a service of a data center, if that one is followed.
func (rs *routes) readChanged(dc int, name string) error {
	if !catalog.IsName(name) {
		return nil
	}
	for {
		rt := rs.get(name)
		if rt == nil || !rt.isFollowed(dc) {
			return nil
		}
		err := rt.read(rt.life, dc)
		if rt.life.Err() == nil || rs.ctx.Err() != nil {
			return err
		} // else it was given up meanwhile, and is followed anew
	}
}
