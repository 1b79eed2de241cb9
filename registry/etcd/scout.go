package etcd

import (
	"cmp"
	"time"
)

// patientTime is how long connecting with a password may take before somebody looks what is wrong.
const patientTime = 500 * time.Millisecond

// explore sends out a scout when connecting takes long.
func (c *connector) explore(d *dialing) {
	timer := time.NewTimer(patientTime)
	defer timer.Stop()
	select {
	case <-timer.C:
		c.lookout()
	case <-d.done:
	case <-c.ctx.Done():
	}
}

// lookout returns a client that can tell what is wrong with the connection. That is the current one, if there is one.
// With a password there is none before it could authenticate, and the etcd client keeps to itself why it can't
// (client/v3 client.go, newClient): then it is a scout, which has no password, and authenticates never. It is
// nil if there is no need of either.
func (c *connector) lookout() *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil || c.scout != nil {
		return cmp.Or(c.current, c.scout)
	}
	if c.settings.client != nil || c.settings.credentials == (credentials{}) {
		return nil
	}
	s := c.settings
	s.credentials = credentials{}
	client, err := s.dial(c.ctx)
	if err != nil {
		return nil
	}
	l := c.newLink(client, true)
	if !c.group.run(func() { c.observe(l) }) {
		_ = l.close()
		return nil
	}
	c.scout = l
	return l
}

// dismissScout needs mu.
func (c *connector) dismissScout() {
	if l := c.scout; l != nil {
		c.scout = nil
		l.end()
		if !c.group.run(func() { _ = l.close() }) {
			_ = l.close()
		}
	}
}
