package page

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
	"go-micro.dev/v4/registry"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/micro-etcd/micro-etcd/registry/etcd"
)

const (
	manyServices    = 1000
	nodesOfEach     = 10
	changesPerTick  = 10
	ticksPerSecond  = 10
	observedChanges = 15
)

// fleetOf is what is stored in the load test.
func storedNode(i, n int, version string) (key, value string) {
	name := fmt.Sprintf("service-%04d", i)
	s := service(name, version, fmt.Sprintf(
		"%s-%02d-5b1c9a4e-77d0-4a0e-9d3e-0b6f", name, n,
	), map[string]string{"zone": fmt.Sprint("eu-", n%3), "registry": "etcd", "transport": "http"})
	s.Nodes[0].Address = fmt.Sprintf("10.%d.%d.%d:8080", i/250, i%250, n)
	s.Endpoints = []*registry.Endpoint{
		{Name: "Service.Call", Request: &registry.Value{Type: "Request"}, Response: &registry.Value{Type: "Response"}},
	}
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and maps always encode
	}
	return etcd.DefaultPrefix + name + "/" + s.Nodes[0].Id, string(data)
}

func (w world) populate(t *testing.T) {
	t.Helper()
	lease := w.lease(t, time.Hour)
	var puts []clientv3.Op
	for i := range manyServices {
		for n := range nodesOfEach {
			key, value := storedNode(i, n, fmt.Sprintf("1.%d.0", n%2))
			if puts = append(puts, clientv3.OpPut(key, value, lease)); len(puts) == 100 {
				_, err := w.client.Txn(t.Context()).Then(puts...).Commit()
				require.NoError(t, err)
				puts = puts[:0]
			}
		}
	}
	require.Empty(t, puts)
}

// churn deletes nodes, puts them back and changes their versions until ctx ends. It returns how many changes it made.
func (w world) churn(ctx context.Context, lease clientv3.OpOption) int {
	tick := time.NewTicker(time.Second / ticksPerSecond)
	defer tick.Stop()
	changes := 0
	for {
		select {
		case <-ctx.Done():
			return changes
		case <-tick.C:
		}
		ops := make(map[string]clientv3.Op, changesPerTick)
		for len(ops) < changesPerTick {
			key, value := storedNode(rand.IntN(manyServices), rand.IntN(nodesOfEach), fmt.Sprintf("2.%d.0", rand.IntN(3)))
			if ops[key] = clientv3.OpPut(key, value, lease); rand.IntN(3) == 0 {
				ops[key] = clientv3.OpDelete(key)
			}
		}
		all := make([]clientv3.Op, 0, len(ops))
		for _, op := range ops {
			all = append(all, op)
		}
		if _, err := w.client.Txn(ctx).Then(all...).Commit(); err == nil {
			changes += len(all)
		}
	}
}

func TestAThousandServicesUnderChurn(t *testing.T) {
	w := newWorld(t)
	w.populate(t)
	b := open(t, w.ui.url)
	b.await(
		"all are counted",
		"document.getElementById('count-services').textContent === '1,000' && document.getElementById('count-nodes').textContent === '10,000'",
	)
	bounded := func(where string) {
		t.Helper()
		require.LessOrEqual(t, eval[int](b, "document.querySelectorAll('#rows tr').length"), 60, where)
		require.Less(t, eval[int](b, "document.querySelectorAll('*').length"), 4000, where)
	}
	bounded("at rest")
	eval[bool](
		b,
		"window.long = [], new PerformanceObserver((l) => long.push(...l.getEntries().map((e) => e.duration))).observe({ type: 'longtask' }), true",
	)

	ctx, stop := context.WithCancel(t.Context())
	var churning sync.WaitGroup
	changes, began, lease := 0, time.Now(), w.lease(t, time.Hour)
	churning.Go(func() { changes = w.churn(ctx, lease) })
	defer churning.Wait()
	defer stop()

	var delays []time.Duration
	eval[bool](b, "document.getElementById('search').focus(), true")
	b.press("needle")
	for i := range observedChanges {
		name := fmt.Sprint("needle-", i)
		put := time.Now()
		w.put(t, service(name, "1", "a", nil), lease)
		b.await("what registers amid the churn appears", row(name))
		delays = append(delays, time.Since(put))
		bounded("while " + name + " appears")
	}
	b.press(kb.Escape)
	b.press(kb.ArrowDown)
	b.press(kb.End)
	b.await("the last service is reached", "document.activeElement.closest('tr')?.dataset.name === 'service-0999'")
	b.press(kb.Enter)
	b.await(
		"and opens",
		"document.getElementById('detail-title').textContent === 'service-0999' && document.querySelectorAll('#nodes tr').length > 0",
	)
	bounded("with an opened service")
	eval[bool](b, "document.querySelector('[data-sort=changed] button').click(), true")
	b.await(
		"sorted by change the list moves",
		"/^\\d s/.test(document.querySelector('#rows tr:not(.spacer) .c-changed').textContent)",
	)
	bounded("sorted by change")

	stop()
	churning.Wait()
	slices.Sort(delays)
	t.Logf("%.0f changes/s; put to painted: median %v, worst %v; %s",
		float64(changes)/time.Since(began).Seconds(), delays[len(delays)/2], delays[len(delays)-1],
		eval[string](
			b,
			"`tasks over 50 ms in the browser: ${long.length}, worst ${Math.round(Math.max(0, ...long))} ms; elements: ${document.querySelectorAll('*').length}`",
		))
	w.agrees(t, b)
	require.Empty(t, b.complaints())
}

// agrees waits until the page counts what etcd has.
func (w world) agrees(t *testing.T, b *tab) {
	t.Helper()
	all, err := w.client.Get(t.Context(), etcd.DefaultPrefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	require.NoError(t, err)
	b.await("the page counts what etcd has", fmt.Sprintf(
		"document.getElementById('count-nodes').textContent.replaceAll(',', '') === '%d'", all.Count,
	))
}

func TestALargeServiceIsShownAPageAtATime(t *testing.T) {
	w := newWorld(t)
	lease := w.lease(t, time.Hour)
	var puts []clientv3.Op
	for n := range 1000 {
		s := service("large", "1.0.0", fmt.Sprintf("n%04d", n), nil)
		data, err := json.Marshal(s)
		require.NoError(t, err)
		if puts = append(
			puts, clientv3.OpPut(etcd.DefaultPrefix+"large/"+s.Nodes[0].Id, string(data), lease),
		); len(puts) == 100 {
			_, err := w.client.Txn(t.Context()).Then(puts...).Commit()
			require.NoError(t, err)
			puts = puts[:0]
		}
	}
	b := open(t, w.ui.url+"#/service/large")
	b.await(
		"a page of them is there",
		"document.getElementById('range').textContent === '1–100 of 1,000 nodes' && document.querySelectorAll('#nodes tr').length === 100",
	)
	eval[bool](b, "document.getElementById('next').click(), true")
	b.await(
		"the next page",
		"document.getElementById('range').textContent === '101–200 of 1,000 nodes' && document.getElementById('nodes').textContent.includes('n0100')",
	)
	eval[bool](
		b, "((f) => { f.value = 'N099'; f.dispatchEvent(new Event('input')); return true })(document.getElementById('find'))",
	)
	b.await(
		"the search of nodes goes over all",
		"document.getElementById('range').textContent === '10 of 1,000 nodes' && document.querySelectorAll('#nodes tr').length === 10",
	)
	require.Empty(t, b.complaints())
}
