package chaos

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/micro-etcd/micro-etcd/test/chaos/cluster"
)

// measurement is one measured promise.
type measurement struct {
	scenario, what string
	bound, took    time.Duration // no bound: measured, not promised
	note           string
	times          int // that it was measured; took is the longest
}

// report collects what the scenarios measured.
type report struct {
	mu        sync.Mutex
	all       []measurement
	schedules int // random ones
	faults    int // in them
}

var scenarioReport report

func (r *report) add(one measurement) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one.times = 1
	for i, o := range r.all {
		if o.scenario == one.scenario && o.what == one.what && o.note == "" && one.note == "" {
			r.all[i].times++
			r.all[i].took = max(o.took, one.took)
			return
		}
	}
	r.all = append(r.all, one)
}

// addSchedule counts a random schedule and its faults.
func (r *report) addSchedule(faults int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.schedules++
	r.faults += faults
}

func (r *report) write(to io.Writer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.SortStableFunc(r.all, func(a, b measurement) int { return strings.Compare(a.scenario, b.scenario) })
	table := tabwriter.NewWriter(to, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "scenario\twhat\tpromised\tlongest of\tmeasured\t")
	for _, one := range r.all {
		promised, got := "-", one.note
		if one.bound > 0 {
			promised = one.bound.String()
		}
		if one.note == "" {
			got = one.took.Round(time.Millisecond).String()
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t\n", one.scenario, one.what, promised, one.times, got)
	}
	if err := table.Flush(); err != nil || r.schedules == 0 {
		return err
	}
	_, err := fmt.Fprintf(to, "%d random schedules with %d faults\n", r.schedules, r.faults)
	return err
}

// reportFile is where the table is kept, beside being printed.
const reportFile = cluster.Binaries + "/measurements.txt"

func (r *report) save() error {
	if len(r.all) == 0 {
		return nil
	}
	if err := r.write(os.Stdout); err != nil {
		return err
	}
	var text strings.Builder
	if err := r.write(&text); err != nil {
		return err
	}
	return os.WriteFile(reportFile, []byte(text.String()), 0o600)
}
