package app

import (
	"testing"

	"github.com/micro-etcd/micro-etcd/test/leak"
)

func TestMain(m *testing.M) { leak.Verify(m) }
