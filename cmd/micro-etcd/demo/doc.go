// Package demo is an etcd and a small fleet that lives by itself: go-micro servers that come, go, are deployed anew and
// die, for ever, so that there is something to look at. Everything listens on loopback, and is gone when the demo ends.
package demo
