package report

import "fmt"

// Names of the competitors that targets compare.
const (
	Ours      = "micro-etcd"
	FollowAll = "micro-etcd, watching all"
	Plugin    = "official plugin v1.2.0"
	Memory    = "go-micro memory registry"
	Bare      = "bare etcd client v3.6.16"
	BareGrant = "bare etcd client v3.6.16, grant and put"
	Standard  = "go-micro's selector over the official plugin"
	OverOurs  = "go-micro's selector over micro-etcd"
)

// Target is what a figure must reach.
type Target struct {
	Work, Must string
	judge      func(*Result) (Verdict, bool)
}

// Verdict says whether a target is reached, and by what.
type Verdict struct {
	Figure, Than, Ratio string
	Met                 bool
}

// Judge measures a result against the target. ok is false if the result has no such figures.
func (t Target) Judge(r *Result) (v Verdict, ok bool) { return t.judge(r) }

// Targets returns what the project has set itself, in the order of its list.
func Targets() []Target {
	return []Target{
		faster("get-1000", Ours, Plugin, 100),
		within("get-1000", Memory, 0.7),
		faster("get-10", Ours, Plugin, 80),
		quick("select-1"),
		quick("select-10"),
		quick("select-100"),
		quick("select-1000"),
		faster("select-1000", Ours, Standard, 1000),
		spread("select-by-2", "select-by-1", 0.67),
		faster("filter-version", Ours, OverOurs, 10),
		faster("filter-endpoint", Ours, OverOurs, 10),
		faster("filter-label", Ours, OverOurs, 2),
		faster("register-again", Ours, Plugin, 100),
		silent("register-again", Ours),
		within("register-first", BareGrant, 1.1),
		within("dense", Bare, 1.5),
		within("put-next-p50", Bare, 1.15),
		within("put-next-p99", Bare, 1.5),
		whole(),
		within("first-lookup", Bare, 1.5),
		faster("list", FollowAll, Plugin, 50),
		within("list", Plugin, 1),
		atMost("memory", Ours, 1024),
		flat("event", 10, 10_000, 1.25),
		renewals(Ours, 20),
		probes(4),
		atMost("watchers-200", Ours, 1),
	}
}

// Missing returns the work of all targets for which a result has no figures.
func Missing(r *Result) []string {
	var missing []string
	for _, t := range Targets() {
		if _, ok := t.Judge(r); !ok {
			missing = append(missing, t.Work)
		}
	}
	return missing
}

func compared(row, who, than, must string, judge func(us, them float64) (ratio string, met bool)) Target {
	return Target{Work: row, Must: must, judge: func(r *Result) (Verdict, bool) {
		us, them := r.Row(row).Figure(who), r.Row(row).Figure(than)
		if us == nil || them == nil {
			return Verdict{}, false
		}
		unit := r.Row(row).Unit
		ratio, met := judge(us.Median(), them.Median())
		return Verdict{
			Figure: format(us.Median(), unit),
			Than:   format(them.Median(), unit),
			Ratio:  ratio,
			Met:    met,
		}, true
	}}
}

func faster(row, who, than string, factor float64) Target {
	return compared(row, who, than, fmt.Sprintf("≥ %g× %s", factor, than), func(us, them float64) (string, bool) {
		return number(them/us) + "× as fast", them >= factor*us
	})
}

func within(row, than string, factor float64) Target {
	must := fmt.Sprintf("%s ≤ %g× %s", Ours, factor, than)
	return compared(row, Ours, than, must, func(us, them float64) (string, bool) {
		return number(us/them) + "× its time", us <= factor*them
	})
}

func atMost(row, who string, limit float64) Target {
	return Target{Work: row, Must: fmt.Sprintf("≤ %g", limit), judge: func(r *Result) (Verdict, bool) {
		us := r.Row(row).Figure(who)
		if us == nil {
			return Verdict{}, false
		}
		return Verdict{Figure: format(us.Median(), r.Row(row).Unit), Met: us.Median() <= limit}, true
	}}
}

// quick is a time that needs no memory either.
func quick(row string) Target {
	const limit = 150
	return Target{
		Work: row,
		Must: fmt.Sprintf("≤ %d ns, 0 allocations", limit),
		judge: func(r *Result) (Verdict, bool) {
			us := r.Row(row).Figure(Ours)
			if us == nil {
				return Verdict{}, false
			}
			figure := fmt.Sprintf("%s, %.0f allocations", format(us.Median(), "ns"), us.Allocs)
			return Verdict{Figure: figure, Met: us.Median() <= limit && us.Allocs < 0.5}, true
		},
	}
}

// spread compares the same work by more goroutines.
func spread(many, one string, factor float64) Target {
	return Target{
		Work: many,
		Must: fmt.Sprintf("≤ %g× the time of one goroutine", factor),
		judge: func(r *Result) (Verdict, bool) {
			us, alone := r.Row(many).Figure(Ours), r.Row(one).Figure(Ours)
			if us == nil || alone == nil {
				return Verdict{}, false
			}
			ratio := us.Median() / alone.Median()
			return Verdict{
				format(us.Median(), "ns"),
				format(alone.Median(), "ns"),
				number(ratio) + "× its time",
				ratio <= factor,
			}, true
		},
	}
}

func silent(row, who string) Target {
	return Target{Work: row, Must: "no request, no stream, no authentication", judge: func(r *Result) (Verdict, bool) {
		us := r.Row(row).Figure(who)
		if us == nil {
			return Verdict{}, false
		}
		figure := us.requests()
		if figure == "" {
			figure = "none"
		}
		return Verdict{Figure: figure, Met: len(us.Requests) == 0}, true
	}}
}

func whole() Target {
	return Target{Work: "burst", Must: "delivered whole", judge: func(r *Result) (Verdict, bool) {
		us := r.Row("burst").Figure(Ours)
		if us == nil {
			return Verdict{}, false
		}
		return Verdict{Figure: us.Note, Met: us.Lost == 0}, true
	}}
}

func flat(curve string, small, large, factor float64) Target {
	must := fmt.Sprintf("at %g nodes ≤ %g× that at %g", large, factor, small)
	return Target{Work: curve, Must: must, judge: func(r *Result) (Verdict, bool) {
		low, ok := r.at(curve, Ours, small)
		high, okToo := r.at(curve, Ours, large)
		if !ok || !okToo {
			return Verdict{}, false
		}
		return Verdict{format(high, "ns"), format(low, "ns"), number(high/low) + "×", high <= factor*low}, true
	}}
}

// at returns a point of a curve.
func (r *Result) at(curve, who string, x float64) (float64, bool) {
	for _, c := range r.Curves {
		for _, l := range c.Lines {
			for _, p := range l.Points {
				if c.ID == curve && l.Who == who && p.X == x {
					return p.Y, true
				}
			}
		}
	}
	return 0, false
}

// keepAlive is a message on a stream for renewals, and keepAlives one more such stream.
const (
	keepAlive  = "message LeaseKeepAlive"
	keepAlives = "LeaseKeepAlive"
)

func renewals(who string, limit float64) Target {
	return Target{
		Work: "steady",
		Must: fmt.Sprintf("%s: ≤ %g keepalive messages", who, limit),
		judge: func(r *Result) (Verdict, bool) {
			us := r.Row("steady").Figure(who)
			if us == nil {
				return Verdict{}, false
			}
			return Verdict{Figure: number(us.Requests[keepAlive]), Met: us.Requests[keepAlive] <= limit}, true
		},
	}
}

// probes are the reads of a probe, which may be one transaction, and nothing else but renewals.
func probes(limit float64) Target {
	must := fmt.Sprintf("%s: ≤ %g reads, and nothing else but keepalive messages and their stream", Ours, limit)
	return Target{Work: "steady", Must: must, judge: func(r *Result) (Verdict, bool) {
		us := r.Row("steady").Figure(Ours)
		if us == nil {
			return Verdict{}, false
		}
		reads, others := us.Requests["Range"]+us.Requests["Txn"], 0.0
		for what, n := range us.Requests {
			if what != keepAlive && what != keepAlives && what != "Range" && what != "Txn" {
				others += n
			}
		}
		return Verdict{
			Figure: fmt.Sprintf("%s reads, %s others", number(reads), number(others)),
			Met:    reads <= limit && others == 0 && us.Requests[keepAlives] <= 1,
		}, true
	}}
}
