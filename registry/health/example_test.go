package health_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/micro-etcd/micro-etcd/registry/health"
)

// Checks are values: change what doesn't suit you.
func Example() {
	web := health.HTTP("/healthz")
	web.Interval = 10 * time.Second
	web.Timeout = 3 * time.Second

	disk := health.Func("disk", func(context.Context) error {
		return errors.New("97 % full") // or look at it
	})

	fmt.Println(health.Validate(web, disk))
	for _, c := range health.WithDefaults(web, disk) {
		fmt.Println(c.Name, c.Interval, c.Timeout, c.FailureThreshold)
	}
	fmt.Println(disk.Probe(context.Background(), "10.0.0.1:8080"))
	// Output:
	// <nil>
	// http /healthz 10s 3s 3
	// disk 5s 2s 3
	// 97 % full
}

// Mistakes are found before a check runs.
func ExampleValidate() {
	tcp := health.TCP()
	tcp.Timeout = time.Minute
	fmt.Println(health.Validate(tcp))
	// Output: invalid health check "tcp": Timeout 1m0s is longer than Interval 5s
}
