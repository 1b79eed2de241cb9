package etcdtest

// DrawPortsFrom makes servers draw from the ports from <= port < to until the returned function is called.
func DrawPortsFrom(from, to int) (restore func()) {
	old := ports
	ports = portRange{from: from, to: to}
	return func() { ports = old }
}
