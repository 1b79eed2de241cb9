package check

import "time"

// What the promises allow, and what is added because a test's machine is slow.
const (
	// Noise is how much longer than promised something may take here: other tests, and the race detector, want the
	// processors too. What was measured is reported without it.
	Noise = 1500 * time.Millisecond
	// minInterval is how long something has to be so to be seen for certain: what is shorter may lie between two looks.
	minInterval = 100 * time.Millisecond
	// ViewLag is how long a view may lag behind etcd.
	ViewLag = time.Second + Noise
	// ExpirySlack is how long after its TTL etcd may take to expire a lease: it elects, and looks every half second.
	ExpirySlack = 2*time.Second + Noise
	// ExpiryRetry is what comes on top if a revocation of etcd's own fails (server/v3 lease/lessor.go,
	// defaultExpiredleaseRetryInterval).
	ExpiryRetry = 3 * time.Second
	// healBound is how soon an owner puts a record right that is missing or wrong.
	healBound = time.Second + Noise
	// ProbeInterval is how long wiped and restored data may go unnoticed.
	ProbeInterval = 30 * time.Second
)
