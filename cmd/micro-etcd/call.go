package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/probe"
)

// call is the command that calls an endpoint.
type call struct {
	*app.App
	node, version string
	timeout       time.Duration
}

func newCall(a *app.App) *cobra.Command {
	c := &call{App: a}
	cmd := &cobra.Command{
		Use:   "call SERVICE ENDPOINT [JSON]",
		Short: "Call an endpoint of a service",
		Long: `Call an endpoint of a service at one of its nodes in service, at random unless --node or --version says which, and
print the answer as JSON. The call is in JSON too, without it {}; - reads it from standard input. It goes from this
machine to the node itself, in the protocol that the node is registered with: Go Micro's own, or gRPC.`,
		Example: `  micro-etcd call greeter Greeter.Hello '{"Name": "Ada"}'
  micro-etcd call greeter Greeter.Hello '{"Name": "Ada"}' --node greeter-6fa1
  jq -n '{Name: "Ada"}' | micro-etcd call greeter Greeter.Hello - | jq -r .Greeting`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 || len(args) > 3 {
				return app.UsageError(cmd, "give a SERVICE, an ENDPOINT, and maybe JSON")
			}
			return app.CheckService(args[0])
		},
		ValidArgsFunction: a.CompleteService,
		RunE: func(cmd *cobra.Command, args []string) error {
			text := "{}"
			if len(args) > 2 {
				text = args[2]
			}
			return c.run(cmd.Context(), args[0], args[1], text)
		},
	}
	cmd.Flags().StringVar(&c.node, "node", "", "id of the node to call")
	cmd.Flags().StringVar(&c.version, "version", "", "version whose nodes are called")
	cmd.Flags().DurationVar(&c.timeout, "call-timeout", 5*time.Second, "timeout of the call")
	return cmd
}

// maxBody bounds what is read from standard input.
const maxBody = 64 << 20

func (c *call) run(ctx context.Context, service, endpoint, text string) error {
	body := []byte(text)
	if text == "-" {
		var err error
		if body, err = io.ReadAll(io.LimitReader(c.In, maxBody)); err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
	}
	if !json.Valid(body) {
		return errors.New("what is to be sent is no JSON")
	}
	node, err := c.choose(ctx, service)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	p := c.Progress("calling " + output.Cell(node.Node().Id))
	began := time.Now()
	answer, err := probe.Call(ctx, service, node.Node(), endpoint, body)
	p.End()
	at := fmt.Sprintf("%s at %s", output.Cell(node.Node().Id), output.Cell(node.Node().Address))
	if err != nil {
		return app.No("%s: %s", at, output.Line(err.Error()))
	}
	fmt.Fprintf(c.Err, "%s, %s\n", at, time.Since(began).Round(time.Millisecond))
	d := json.NewDecoder(bytes.NewReader(answer))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return app.No("%s answers what is no JSON: %s", at, output.Line(string(answer)))
	}
	return output.JSON(c.Out, v, "  ")
}

// choose returns the node to call.
func (c *call) choose(ctx context.Context, service string) (*fleet.Record, error) {
	conn, err := c.Flags.Connect(ctx, c.Streams, service, io.Discard)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	f, err := conn.Read(ctx, nil)
	if err != nil {
		return nil, connect.Explain(err)
	}
	nodes := fleet.Nodes(f.Services()...)
	all := len(nodes)
	nodes = slices.DeleteFunc(nodes, func(r *fleet.Record) bool {
		return c.node != "" && r.Node().Id != c.node || c.version != "" && r.Service.Version != c.version
	})
	switch {
	case all == 0:
		return nil, app.No("no node of service %q is in service", service)
	case len(nodes) == 0:
		return nil, app.No("none of the %s of service %q is that one", output.Count(all, "node"), service)
	}
	return nodes[rand.IntN(len(nodes))], nil
}
