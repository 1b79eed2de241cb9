package etcdfake

import (
	_ "unsafe" // for go:linkname
)

// In virtual time, every goroutine must wait for something that was made in its bubble. The etcd client starts one for
// each watch stream that waits for this channel of the package, which nobody ever closes (client/v3 watch.go, valCtx).
// A nil one means the same, "never canceled", and needs no goroutine.
//
//go:linkname never go.etcd.io/etcd/client/v3.valCtxCh
var never chan struct{}

func init() { never = nil }
