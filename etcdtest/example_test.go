package etcdtest_test

import (
	"context"
	"fmt"
	"log"
	"os"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/etcdtest"
)

// Outside a test, the caller stops the server.
func ExampleRun() {
	dir, err := os.MkdirTemp("", "etcd")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	srv, err := etcdtest.Run(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Stop()
	client, err := clientv3.New(clientv3.Config{Endpoints: srv.Endpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if _, err := client.Put(context.Background(), "key", "value"); err != nil {
		log.Fatal(err)
	}
	answer, err := client.Get(context.Background(), "key")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", answer.Kvs[0].Value)
	// Output: value
}
