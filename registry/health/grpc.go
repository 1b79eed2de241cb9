package health

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// GRPC returns a check that asks the node's grpc.health.v1.Health about a service, by its full name, such as
// greeter.v1.Greeter. The empty name stands for the server as a whole. Only SERVING passes.
//
// A server has the health service after
//
//	healthpb.RegisterHealthServer(server, health.NewServer())
//
// with google.golang.org/grpc/health and its package grpc_health_v1. Go Micro's gRPC server plugin has no place for it;
// use [Micro] with the gRPC client plugin there.
//
// Each run opens a new connection in plain text, so that a server that has closed its listener fails. HTTPS_PROXY isn't
// used. A server with TLS fails; write a [Func] for one.
//
// The check's name is "grpc", and the service's if it isn't empty.
func GRPC(service string) Check {
	name := strings.TrimSpace("grpc " + service)
	return Check{Name: name, Probe: func(ctx context.Context, address string) error {
		if strings.HasPrefix(address, "https://") {
			return fmt.Errorf("%s: this check has no TLS", address)
		}
		target, err := hostPort(address)
		if err != nil {
			return err
		}
		// passthrough leaves it to the dialer to resolve the name, as callers do.
		conn, err := grpc.NewClient("passthrough:///"+target,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithNoProxy(),
			grpc.WithDisableServiceConfig(),
			grpc.WithUserAgent(userAgent),
		)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }() // it reports no more than that it was closed before
		return ask(ctx, conn, service)
	}}
}

func ask(ctx context.Context, conn *grpc.ClientConn, service string) error {
	answer, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: service})
	switch status.Code(err) {
	case codes.OK:
	case codes.Unimplemented:
		return fmt.Errorf("the server has no grpc.health.v1.Health: register health.NewServer() of "+
			"google.golang.org/grpc/health with it (%w)", err)
	case codes.NotFound:
		return fmt.Errorf("the server's grpc.health.v1.Health doesn't know service %q: call SetServingStatus for it (%w)",
			service, err)
	default:
		return err
	}
	if answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		return fmt.Errorf("grpc.health.v1.Health says %v", answer.GetStatus())
	}
	return nil
}
