package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"github.com/micro-etcd/micro-etcd/test/bench/report"
)

func main() {
	for _, name := range []string{"MICRO_REGISTRY_ADDRESS", "ETCD_USERNAME", "ETCD_PASSWORD"} {
		_ = os.Unsetenv(name) // the peers prefer them to their options
	}
	logx.Disable()
	err := execute()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func execute() error {
	if os.Getenv(serveEnv) != "" {
		return serve()
	}
	var (
		r       = &run{span: 50 * time.Millisecond, out: os.Stderr}
		out     = flag.String("out", "", "directory for benchmarks.md and its plots")
		rows    = flag.String("rows", "", "measure only the groups that match this regular expression")
		render  = flag.String("render", "", "write the documents from this file, and measure nothing")
		save    = flag.String("save", "", "file for the figures")
		profile = flag.String("cpuprofile", "", "file for a CPU profile of the measuring process")
	)
	flag.BoolVar(&r.quick, "quick", false, "do everything once with little data")
	flag.IntVar(&r.samples, "samples", 10, "of each figure")
	flag.Parse()
	if *render != "" {
		result, err := load(*render)
		if err != nil {
			return err
		}
		return report.Write(*out, result)
	}
	if r.quick {
		r.samples, r.span = 1, time.Millisecond
	}
	var err error
	if r.rows, err = regexp.Compile(*rows); err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := profiled(*profile, func() error { return r.measure(ctx) }); err != nil {
		return err
	}
	if missing := report.Missing(&r.result); *rows == "" && len(missing) > 0 {
		return fmt.Errorf("no figures for %s", strings.Join(missing, ", "))
	}
	return errors.Join(keep(*save, &r.result), report.Write(*out, &r.result))
}

// profiled writes what f does into a CPU profile, if there is a file for it.
func profiled(file string, f func() error) error {
	if file == "" {
		return f()
	}
	to, err := os.Create(file)
	if err != nil {
		return err
	}
	defer to.Close()
	if err := pprof.StartCPUProfile(to); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return f()
}

// measure does all groups of rows, each of which cleans up behind itself.
func (r *run) measure(ctx context.Context) error {
	r.ctx = ctx
	began, before := time.Now(), loadAverage()
	s, err := openStore(asItComes)
	if err != nil {
		return err
	}
	defer s.close()
	r.store = s
	for _, group := range []struct {
		name string
		rows func() error
	}{
		{"lookup", r.lookups},
		{"first-lookup", r.firstLookups},
		{"select", r.selects},
		{"register", r.registers},
		{"latency", r.latencies},
		{"burst", r.bursts},
		{"watchers", r.manyWatchers},
		{"list", r.lists},
		{"growth", r.scaling},
		{"unflushed", r.unflushed}, // from here on peers that can't be closed look for an etcd that is gone
		{"steady", r.idle},
	} {
		if !r.rows.MatchString(group.name) {
			continue
		}
		at := time.Now()
		if err := group.rows(); err != nil {
			return fmt.Errorf("%s: %w", group.name, err)
		}
		fmt.Fprintf(r.out, "-- %s took %.0f s\n", group.name, time.Since(at).Seconds())
	}
	r.describe(began, before)
	return nil
}

// describe says where and when this was measured.
func (r *run) describe(began time.Time, before string) {
	r.result.Date = began.UTC().Format("2006-01-02 15:04 MST")
	r.result.Took = time.Since(began).Round(time.Second).String()
	r.result.Go = runtime.Version()
	r.result.Machine = fmt.Sprintf("%s, %d cores, %s/%s", processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	r.result.Load = before + " before, " + loadAverage() + " after"
	r.result.Command = "make bench"
	if commit, err := exec.CommandContext(r.ctx, "git", "describe", "--always", "--dirty").Output(); err == nil {
		r.result.Commit = strings.TrimSpace(string(commit))
	}
}

func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(info)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), ":"))
		}
	}
	return "unknown processor"
}

func loadAverage() string {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	fields := strings.Fields(string(load))
	return fields[0]
}

func keep(file string, result *report.Result) error {
	if file == "" {
		return nil
	}
	b, err := json.MarshalIndent(result, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o600)
}

func load(file string) (*report.Result, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	result := new(report.Result)
	return result, json.Unmarshal(b, result)
}
