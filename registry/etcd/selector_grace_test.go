package etcd

import "time"

const grace = time.Minute
