package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Limits of what is read from an answer. Only its status counts; the text of a failure helps to understand it.
const (
	maxHeader = 64 << 10
	maxBody   = 200
)

// HTTP returns a check that requests a path, which may have a query, from the node. Any status of 2xx or 3xx passes.
// Redirects aren't followed, since the target may be another node.
//
// The request goes to http://<address><path>. A node whose address is a URL gets the request at that URL, with the path
// appended. For https://, its certificate is verified with the system's roots; to trust others, write a [Func]. Each
// run opens a new connection, so that a server that has closed its listener fails. HTTP_PROXY isn't used.
//
// The check's name is "http" followed by the path. Its User-Agent is micro-etcd-health.
func HTTP(path string) Check {
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return Check{Name: "http " + path, Probe: func(ctx context.Context, address string) error {
		if !isURL(address) {
			address = "http://" + address
		}
		return get(ctx, client, strings.TrimSuffix(address, "/")+path)
	}}
}

func get(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", userAgent)
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // its connection ends with it
	if response.StatusCode >= 200 && response.StatusCode < 400 {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxBody)) // whatever arrived is better than nothing
	return errors.New(strings.TrimRight(
		fmt.Sprintf("GET %s: %s: %s", request.URL.Redacted(), response.Status, text), ": \r\n"))
}
