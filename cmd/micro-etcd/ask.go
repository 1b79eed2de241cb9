package main

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
)

// asked is what the process at a node's address says of itself.
type asked struct {
	Answers bool   `json:"answers"`
	Started string `json:"started,omitempty"`
	Uptime  *int64 `json:"uptime_seconds,omitempty"`
	Error   string `json:"error,omitempty"`
}

func (p *asked) String() string {
	switch {
	case !p.Answers:
		return "unreachable"
	case p.Uptime == nil:
		return "answers, but has no Debug.Stats"
	}
	return "up " + (time.Duration(*p.Uptime) * time.Second).String()
}

const (
	askTime   = 2 * time.Second // for one process
	maxAsking = 32              // processes at a time
)

// askProcesses fills in what the records' processes say to Debug.Stats, which tells how long they have
// been running. Go Micro has it ready (debug/handler), but a service must register it.
func (a *app) askProcesses(ctx context.Context, records []record) {
	p := a.progress("asking the nodes")
	defer p.end()
	// PoolSize 0 closes each connection after its call.
	micro := client.NewClient(client.PoolSize(0), client.Retries(0), client.RequestTimeout(askTime), client.DialTimeout(askTime))
	_ = fleet.Progress(p.tell).Each(ctx, len(records), maxAsking, func(ctx context.Context, i int) error {
		records[i].Process = askProcess(ctx, micro, &records[i])
		return nil // a process that doesn't answer is an answer
	})
}

func askProcess(ctx context.Context, micro client.Client, r *record) *asked {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var stats proto.StatsResponse
	var err error
	if r.Metadata["protocol"] == "grpc" {
		err = askGRPC(ctx, r.Address, &stats)
	} else {
		request := micro.NewRequest(r.Service, "Debug.Stats", &proto.StatsRequest{})
		err = micro.Call(ctx, request, &stats, client.WithAddress(r.Address))
	}
	if err != nil {
		return &asked{Answers: isUnknown(err), Error: err.Error()}
	}
	uptime := int64(stats.Uptime)
	return &asked{Answers: true, Started: time.Unix(int64(stats.Started), 0).UTC().Format(time.RFC3339), Uptime: &uptime}
}

// isUnknown reports whether a process said that it doesn't have what it was asked for (go-micro
// server/rpc_router.go, readHeader).
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
