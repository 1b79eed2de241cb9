package cluster

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Leader returns the member that leads.
func (c *Cluster) Leader(ctx context.Context) (*Member, error) {
	for {
		for _, m := range c.Members {
			if status, err := c.status(ctx, m); err == nil && status.Leader == status.Header.MemberId {
				return m, nil
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// Snapshot saves one member's data.
func (c *Cluster) Snapshot(ctx context.Context, path string) error {
	return c.Do(ctx, func(ctx context.Context, client *clientv3.Client) error {
		from, err := client.Snapshot(ctx)
		if err != nil {
			return err
		}
		defer from.Close()
		to, err := os.Create(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(to, from)
		return errors.Join(err, to.Close())
	})
}

// Metric returns the sum of a metric over all members that run, of those of its lines that contain every word.
func (c *Cluster) Metric(ctx context.Context, name string, words ...string) (float64, error) {
	sum := 0.0
	for _, m := range c.Members {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.ClientAddr+"/metrics", http.NoBody)
		if err != nil {
			return 0, err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0, err
		}
		text, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) != 2 || !isMetric(fields[0], name, words) {
				continue
			}
			value, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				return 0, err
			}
			sum += value
		}
	}
	return sum, nil
}

func isMetric(line, name string, words []string) bool {
	is, _, _ := strings.Cut(line, "{")
	return is == name && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) })
}
