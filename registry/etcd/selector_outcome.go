package etcd

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"go-micro.dev/v4/client"
	merrors "go-micro.dev/v4/errors"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/micro-etcd/micro-etcd/internal/catalog"
)

// outcome is what the outcome of a call says of the node, not of its handler.
type outcome int

const (
	responded    outcome = iota // well or not
	inconclusive                // the caller gave up
	unanswered                  // no answer in time
	unreachable                 // no connection, or it broke
)

// The ids that go-micro's client gives to its own errors. What comes from the other side has another type
// (client.serverError), so that a handler which passes on an error of its own client isn't blamed.
const (
	clientID    = "go.micro.client"
	transportID = "go.micro.client.transport"
)

// classifyOutcome reads an error as go-micro's client, its gRPC plugin, or another client passes it to Mark.
func classifyOutcome(node *catalog.Node, err error) outcome {
	if err == nil {
		return responded
	}
	var e *merrors.Error
	switch {
	case errors.Is(err, context.Canceled):
		return inconclusive
	case !errors.As(err, &e):
		return classifyForeign(node, err)
	}
	switch {
	case e.Id == transportID && !isHTTPStatus(e.Detail):
		return unreachable
	case e.Id != clientID:
		return responded
	case e.Code == 408 && strings.Contains(e.Detail, context.Canceled.Error()):
		return inconclusive
	case e.Code == 408:
		return unanswered
	case e.Code == 500 && undialed(e.Detail):
		return unreachable
	case e.Code == 503:
		return classifyGRPC(node, e.Detail)
	}
	return responded
}

// undialed recognizes what go-micro's client, and its gRPC plugin, say when there is no connection to send on.
func undialed(detail string) bool {
	return strings.HasPrefix(detail, "connection error: ") || strings.HasPrefix(detail, "Error sending request: ")
}

// isHTTPStatus recognizes an answer, such as "500 Internal Server Error: ...", that go-micro's transport takes for an
// error.
func isHTTPStatus(detail string) bool {
	return len(detail) > 3 && detail[3] == ' ' && strings.Trim(detail[:3], "0123456789") == ""
}

// classifyGRPC tells gRPC's own words from those of a handler that says it is unavailable. They may still be of the
// handler's own client: a refused connection names the address, a broken one doesn't and therefore counts for less.
func classifyGRPC(node *catalog.Node, detail string) outcome {
	switch {
	case strings.Contains(detail, "Error while dialing"):
		if strings.Contains(detail, node.Address) {
			return unreachable
		}
	case strings.Contains(detail, "error reading from server"), strings.Contains(detail, "transport is closing"):
		return unanswered
	}
	return responded
}

func classifyForeign(node *catalog.Node, err error) outcome {
	var failed *net.OpError
	var timeout net.Error
	switch s, ok := status.FromError(err); {
	case ok && s.Code() == codes.Canceled:
		return inconclusive
	case ok && s.Code() == codes.DeadlineExceeded:
		return unanswered
	case ok && s.Code() == codes.Unavailable:
		return classifyGRPC(node, s.Message())
	case errors.As(err, &failed) && failed.Op == "dial":
		return unreachable
	case errors.As(err, &timeout) && timeout.Timeout():
		return unanswered
	case failed != nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return unreachable
	}
	return responded
}

// RetryUnsent is a client.RetryFunc for go-micro's client (client.Retry, client.WithRetry): it repeats a call that no
// node can have executed, because there was no connection, or it broke before the request was written. go-micro asks
// the selector for a node each time, and [NewSelector]'s doesn't offer one that was just found unreachable, as long as
// there are others. Timeouts and connections that broke while waiting for the answer aren't repeated: the handler may
// have run.
//
// The number of tries and the pauses between them are client.Retries and client.Backoff. go-micro's gRPC plugin isn't
// covered, as its errors may be those of a client within the handler.
func RetryUnsent(ctx context.Context, _ client.Request, _ int, err error) (bool, error) {
	return ctx.Err() == nil && unsent(err), nil
}

func unsent(err error) bool {
	var e *merrors.Error
	if errors.As(err, &e) {
		return e.Id == clientID && e.Code == 500 && strings.HasPrefix(e.Detail, "connection error: ") ||
			e.Id == transportID && halfWritten(e.Detail)
	}
	var failed *net.OpError
	return errors.As(err, &failed) && failed.Op == "dial"
}

// halfWritten recognizes the errors of sending, as package net words them. An incomplete request isn't served.
func halfWritten(detail string) bool {
	return strings.HasPrefix(detail, "write ") || strings.HasPrefix(detail, "readfrom ")
}
