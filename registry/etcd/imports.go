package etcd

import (
	_ "github.com/google/uuid"
	_ "go-micro.dev/v4"
	_ "go.etcd.io/etcd/client/v3"
	_ "go.uber.org/zap"
)
