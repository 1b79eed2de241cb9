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
)

// figure is one measured promise.
type figure struct {
	scenario, what  string
	bound, measured time.Duration // no bound: measured, not promised
	note            string
	times           int // that it was measured; measured is the longest
}

// figures collects what the scenarios measured.
type figures struct {
	mu        sync.Mutex
	all       []figure
	schedules int // random ones
	faults    int // in them
}

var measured figures

func (f *figures) add(one figure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one.times = 1
	for i, o := range f.all {
		if o.scenario == one.scenario && o.what == one.what && o.note == "" && one.note == "" {
			f.all[i].times++
			f.all[i].measured = max(o.measured, one.measured)
			return
		}
	}
	f.all = append(f.all, one)
}

// schedule counts a random schedule and its faults.
func (f *figures) schedule(faults int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.schedules++
	f.faults += faults
}

func (f *figures) write(to io.Writer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.SortStableFunc(f.all, func(a, b figure) int { return strings.Compare(a.scenario, b.scenario) })
	table := tabwriter.NewWriter(to, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "scenario\twhat\tpromised\tlongest of\tmeasured\t")
	for _, one := range f.all {
		promised, got := "-", one.note
		if one.bound > 0 {
			promised = one.bound.String()
		}
		if one.note == "" {
			got = one.measured.Round(time.Millisecond).String()
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t\n", one.scenario, one.what, promised, one.times, got)
	}
	if err := table.Flush(); err != nil || f.schedules == 0 {
		return err
	}
	_, err := fmt.Fprintf(to, "%d random schedules with %d faults\n", f.schedules, f.faults)
	return err
}

// figuresFile is where the table is kept, beside being printed.
const figuresFile = binaries + "/figures.txt"

func (f *figures) report() error {
	if len(f.all) == 0 {
		return nil
	}
	if err := f.write(os.Stdout); err != nil {
		return err
	}
	var text strings.Builder
	if err := f.write(&text); err != nil {
		return err
	}
	return os.WriteFile(figuresFile, []byte(text.String()), 0o600)
}
