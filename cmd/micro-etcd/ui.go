package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/app"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/connect"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/demo"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/output"
	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/page"
	"github.com/micro-etcd/micro-etcd/internal/etcderr"
)

// ui is the web page's command.
type ui struct {
	*app.App
	listen string
	demo   bool
}

// newUI returns the web page's command.
func newUI(a *app.App) *cobra.Command {
	u := &ui{App: a}
	cmd := &cobra.Command{
		Use:   "ui",
		Short: "Show the registry in a web page",
		Long: `ui serves a web page that shows what is registered, as it changes: services and their versions, nodes with address,
metadata, TTL left and age, endpoints, events, and etcd's health. It only reads, and runs until it is interrupted.
With several --dc it has a switch between the data centers, and shows the first one first.

There is no authentication: whoever reaches the address reads the registry. So it is this machine only, unless
--listen says otherwise.`,
		Example: "  micro-etcd ui --demo\n  micro-etcd ui -a etcd-1:2379,etcd-2:2379 --listen 127.0.0.1:9000\n" +
			"  micro-etcd ui --dc eu1=10.1.0.1,10.1.0.2 --dc us1=10.9.0.1",
		Args:    app.NoArgs,
		PreRunE: func(cmd *cobra.Command, _ []string) error { return u.check(cmd) },
		RunE:    func(cmd *cobra.Command, _ []string) error { return u.run(cmd.Context()) },
	}
	cmd.Flags().StringVar(&u.listen, "listen", "127.0.0.1:8379", "address to serve at; port 0 takes a free one")
	cmd.Flags().BoolVar(&u.demo, "demo", false, "show an etcd of its own with a small fleet that lives and dies by itself")
	return cmd
}

// check refuses what --demo would ignore: all that says where etcd is, and how to be let in.
func (u *ui) check(cmd *cobra.Command) error {
	var ignored []string
	cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed && f.Name != "timeout" {
			ignored = append(ignored, "--"+f.Name)
		}
	})
	if u.demo && len(ignored) > 0 {
		return fmt.Errorf("--demo brings an etcd of its own, and doesn't go with %s", strings.Join(ignored, ", "))
	}
	return nil
}

func (u *ui) run(ctx context.Context) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", u.listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", u.listen, err)
	}
	if u.demo {
		return u.serveDemo(ctx, listener)
	}
	var all []page.Datacenter
	var opened []*connect.Connection
	defer func() {
		for _, c := range opened {
			c.Close()
		}
	}()
	err = u.Each(func(a *app.App) error {
		c, err := a.Flags.Open(ctx, a.Streams, "", io.Discard)
		if err != nil {
			return err
		}
		opened, all = append(opened, c), append(all, datacenter(a, c))
		return nil
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	return u.serve(ctx, page.Config{Listener: listener, Datacenters: all})
}

// datacenter is one on the page. That it can't be read is said once.
func datacenter(a *app.App, c *connect.Connection) page.Datacenter {
	say := func(err error) {
		if a.Flags.Datacenter != "" {
			err = fmt.Errorf("data center %s: %w", a.Flags.Datacenter, err)
		}
		fmt.Fprintf(a.Err, "%s. Trying again.\n", output.Sanitize(err.Error()))
	}
	said := false
	dial := func(ctx context.Context) (*clientv3.Client, error) {
		client, err := c.Dial(ctx)
		if err != nil && ctx.Err() == nil && !said {
			said = true
			say(err)
		}
		return client, err
	}
	lost := func(err error) {
		if etcderr.IsRefused(err) { // else the page will say when etcd is back
			say(connect.Explain(err))
		}
	}
	return page.Datacenter{Name: a.Flags.Datacenter, Source: c.Source, Connect: dial, Lost: lost}
}

// serve ends with ctx, and closes the listener.
func (u *ui) serve(ctx context.Context, cfg page.Config) error {
	cfg.Listen = u.listen
	at := cfg.Listener.Addr()
	fmt.Fprintln(u.Out, localURL(u.listen, at))
	if !page.Local(at) {
		reach := at.String() + " can be reached from other machines"
		if isEverywhere(at) {
			reach = "it listens at every address of this machine, so it can be reached from others"
		}
		fmt.Fprintf(u.Err, "Warning: %s, and there is no authentication: whoever reaches it reads the registry.\n", reach)
	}
	return page.Serve(ctx, cfg)
}

// localURL is where a browser on this machine finds the page: at the host that was asked for, whose name the page
// answers to, and at the port that it got.
func localURL(listen string, at net.Addr) string {
	host, _, err := net.SplitHostPort(listen)
	_, port, errAt := net.SplitHostPort(at.String())
	switch {
	case err != nil || errAt != nil:
		return "http://" + at.String() + "/"
	case isEverywhere(at):
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
}

func isEverywhere(at net.Addr) bool {
	tcp, ok := at.(*net.TCPAddr)
	return ok && tcp.IP.IsUnspecified()
}

// serveDemo ends with ctx, and closes the listener.
func (u *ui) serveDemo(ctx context.Context, listener net.Listener) error {
	dir, err := os.MkdirTemp("", "micro-etcd-demo-")
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { _ = os.RemoveAll(dir) }() // what stays is in the directory for temporary files
	fmt.Fprintln(u.Err, "Starting etcd and a small fleet.")
	d, err := demo.Start(dir)
	if err != nil {
		return errors.Join(fmt.Errorf("--demo: %w", err), listener.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	var living sync.WaitGroup
	living.Go(func() { d.Live(ctx, func(err error) { fmt.Fprintln(u.Err, "demo:", err) }) })
	defer living.Wait()
	defer cancel()
	client, err := d.Client()
	if err != nil {
		return errors.Join(fmt.Errorf("--demo: %w", err), listener.Close())
	}
	defer func() { _ = client.Close() }() // it reports no more than its own canceled context
	connected := func(context.Context) (*clientv3.Client, error) { return client, nil }
	shown := page.Datacenter{Source: fleet.Source{Timeout: u.Flags.Timeout}, Connect: connected}
	return u.serve(ctx, page.Config{Listener: listener, Datacenters: []page.Datacenter{shown}})
}
