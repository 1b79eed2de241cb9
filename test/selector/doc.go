// Package selector holds the tests of etcd.NewSelector with real calls between real processes: services that are
// restarted or killed while clients call them, some with our selector and some with go-micro's.
package selector
