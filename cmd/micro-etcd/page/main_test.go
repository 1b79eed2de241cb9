package page

import (
	"testing"

	"go.uber.org/goleak"
)

// Importing go-micro starts goroutines of its own.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }
