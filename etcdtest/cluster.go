package etcdtest

// Cluster is several members that keep the same data.
type Cluster struct {
	Members []*Server
}

// RunCluster starts n members that keep their data below dir. The caller stops them.
func RunCluster(dir string, n int, opts ...Option) (*Cluster, error) {
	members, err := runMembers(dir, n, opts)
	if err != nil {
		return nil, err
	}
	return &Cluster{Members: members}, nil
}

// Endpoints returns every member's host and port.
func (c *Cluster) Endpoints() []string {
	endpoints := make([]string, len(c.Members))
	for i, m := range c.Members {
		endpoints[i] = m.Endpoint()
	}
	return endpoints
}

// Leader returns the member that leads, as far as a running member knows, or nil.
func (c *Cluster) Leader() *Server {
	for _, m := range c.Members {
		if e := m.running(); e != nil && e.Server.Leader() == e.Server.MemberID() {
			return m
		}
	}
	return nil
}

// Stop stops every member.
func (c *Cluster) Stop() {
	defer c.hold()()
	stopAll(c.Members)
}

// Restart stops every member that runs, then starts them all.
func (c *Cluster) Restart() error {
	defer c.hold()()
	stopAll(c.Members)
	return startAll(c.Members)
}

func (c *Cluster) hold() (release func()) {
	for _, m := range c.Members {
		m.lifecycle.Lock()
	}
	return func() {
		for _, m := range c.Members {
			m.lifecycle.Unlock()
		}
	}
}
