package rounds

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// Summary adds the results of rounds up.
type Summary struct {
	mu       sync.Mutex
	rounds   int
	rows     map[row]*stats
	failures []string
}

// row is a line of the table.
type row struct {
	fault string
	ttl   time.Duration
}

type stats struct {
	processes int
	missing   int // records, as often as they were
	longest   time.Duration
	slowest   map[string]time.Duration // call, by its kind
	election  time.Duration            // the longest wait of the checker's own writes
	failed    int                      // calls
}

// Add returns what a round's result holds against the registry.
func (t *Summary) Add(v Result) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rounds++
	var broken []string
	for i, p := range v.Round.providers {
		s := t.rowLocked(v.Round.fault, p.ttl)
		s.processes++
		s.missing += len(v.gaps[i])
		for _, l := range v.gaps[i] {
			s.longest = max(s.longest, l.length)
			broken = append(broken, fmt.Sprintf("TTL %v: %s missing for %v, %v after the fault",
				p.ttl, l.key, l.length.Round(time.Millisecond), l.after.Round(time.Millisecond)))
		}
	}
	for _, o := range v.outcomes {
		s := t.rowLocked(v.Round.fault, o.ttl)
		s.slowest[o.kind] = max(s.slowest[o.kind], o.took)
		s.election = max(s.election, o.writeDelay)
		if o.err == nil && !o.late() {
			continue
		}
		s.failed++
		broken = append(broken, fmt.Sprintf(
			"TTL %v: %s, %v after the fault, took %v (etcd took a write after %v): %s",
			o.ttl, o.kind, o.at.Round(time.Millisecond), o.took.Round(time.Millisecond),
			o.writeDelay.Round(time.Millisecond), oneLine(o.err),
		))
	}
	for _, b := range broken {
		t.failures = append(t.failures, fmt.Sprintf("%s: %s", v.Round, b))
	}
	return broken
}

func oneLine(err error) string { return strings.ReplaceAll(fmt.Sprint(err), "\n", "; ") }

func (t *Summary) rowLocked(fault string, ttl time.Duration) *stats {
	if t.rows == nil {
		t.rows = map[row]*stats{}
	}
	r := row{fault, ttl}
	if t.rows[r] == nil {
		t.rows[r] = &stats{slowest: map[string]time.Duration{}}
	}
	return t.rows[r]
}

// Write prints the table.
func (t *Summary) Write(to io.Writer, seed uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	table := tabwriter.NewWriter(to, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "fault\tTTL\tprocesses\tmissing\tlongest\t")
	for _, kind := range callKinds {
		fmt.Fprintf(table, "%s\t", kind)
	}
	fmt.Fprintln(table, "etcd itself\tcalls failed\t")
	ms := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	for _, fault := range roundFaults {
		for _, ttl := range roundTTLs {
			s := t.rows[row{fault, ttl}]
			if s == nil {
				continue
			}
			fmt.Fprintf(table, "%s\t%v\t%d\t%d\t%v\t", fault, ttl, s.processes, s.missing, ms(s.longest))
			for _, kind := range callKinds {
				fmt.Fprintf(table, "%v\t", ms(s.slowest[kind]))
			}
			fmt.Fprintf(table, "%v\t%d\t\n", ms(s.election), s.failed)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(
		to,
		"%d rounds of seed %d: %d records missing or calls failed or late\n",
		t.rounds,
		seed,
		len(t.failures),
	)
	return err
}
