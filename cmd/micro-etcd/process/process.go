// Package process asks the process at a node's address how long it has been running.
package process

import (
	"context"
	"strings"
	"time"

	"go-micro.dev/v4/client"
	proto "go-micro.dev/v4/debug/proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// Status is what a process says of itself.
type Status struct {
	Answers bool   `json:"answers"`
	Started string `json:"started,omitempty"`
	Uptime  *int64 `json:"uptime_seconds,omitempty"`
	Error   string `json:"error,omitempty"`
}

// String is what a table says of it.
func (s *Status) String() string {
	switch {
	case !s.Answers:
		return "unreachable"
	case s.Uptime == nil:
		return "answers, but has no Debug.Stats"
	}
	return "up " + (time.Duration(*s.Uptime) * time.Second).String()
}

const (
	timeout    = 2 * time.Second // for one process
	concurrent = 32              // processes at a time
)

// Ask sends Debug.Stats to the processes of records, none of which is malformed. Go Micro has it ready (debug/handler),
// but a service must register it. A process that can't be reached has a status, too.
func Ask(ctx context.Context, records []*fleet.Record, progress fleet.Progress) []*Status {
	// PoolSize 0 closes each connection after its call.
	micro := client.NewClient(
		client.PoolSize(0), client.Retries(0), client.RequestTimeout(timeout), client.DialTimeout(timeout))
	all := make([]*Status, len(records))
	_ = progress.Each(ctx, len(records), concurrent, func(ctx context.Context, i int) error {
		all[i] = ask(ctx, micro, records[i].Service.Name, records[i].Node())
		return nil // a process that doesn't answer is an answer
	})
	return all
}

func ask(ctx context.Context, micro client.Client, service string, node *catalog.Node) *Status {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var stats proto.StatsResponse
	var err error
	if node.Metadata["protocol"] == "grpc" {
		err = askGRPC(ctx, node.Address, &stats)
	} else {
		request := micro.NewRequest(service, "Debug.Stats", &proto.StatsRequest{})
		err = micro.Call(ctx, request, &stats, client.WithAddress(node.Address))
	}
	if err != nil {
		return &Status{Answers: isUnknown(err), Error: err.Error()}
	}
	uptime := int64(stats.Uptime)
	return &Status{Answers: true, Started: time.Unix(int64(stats.Started), 0).UTC().Format(time.RFC3339), Uptime: &uptime}
}

// isUnknown reports whether a process said that it doesn't have what it was asked for (go-micro server/rpc_router.go,
// readHeader).
func isUnknown(err error) bool {
	return status.Code(err) == codes.Unimplemented || strings.Contains(err.Error(), "rpc: can't find ")
}

func askGRPC(ctx context.Context, address string, stats *proto.StatsResponse) error {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return conn.Invoke(ctx, "/Debug/Stats", &proto.StatsRequest{}, stats)
}
