// Package doctor examines a registry in etcd as a plugin would meet it, and says what is wrong in
// sentences. It writes nothing.
package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"time"

	"go-micro.dev/v4/registry"

	"github.com/micro-etcd/micro-etcd/cmd/micro-etcd/fleet"
)

// Severity orders findings.
type Severity int

// Severities: what is good to know, what will hurt, and what hurts.
const (
	Info Severity = iota
	Warning
	Critical
)

// String returns the severity's name in lower case.
func (s Severity) String() string { return [...]string{"info", "warning", "critical"}[s] }

// MarshalText makes a severity its name in JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one thing that was found.
type Finding struct {
	Severity Severity `json:"severity"`
	// Check is the examination that found it: a name to filter by.
	Check string `json:"check"`
	// What is a sentence that names the culprit. It may hold what somebody has written into etcd.
	What string `json:"what"`
	// Advice is a sentence that says what to do.
	Advice string `json:"advice"`
	// Subjects are all the keys, leases or addresses concerned. What names some of them only.
	Subjects []string `json:"subjects,omitempty"`
}

// Report is the result of an examination.
type Report struct {
	At        time.Time `json:"at"`
	Addresses []string  `json:"addresses"`
	Prefix    string    `json:"prefix"`
	Members   int       `json:"members"`
	Reached   int       `json:"members_reached"`
	Versions  []string  `json:"etcd_versions"`
	Revision  int64     `json:"revision"` // of the records; 0 if they couldn't be read
	Services  int       `json:"services"`
	Records   int       `json:"records"`
	// Findings are sorted by severity, the worst first.
	Findings []Finding `json:"findings"`
}

// Worst returns the highest severity among the findings; Info without any.
func (r *Report) Worst() Severity {
	worst := Info
	for _, f := range r.Findings {
		worst = max(worst, f.Severity)
	}
	return worst
}

// Patient is what to examine.
type Patient struct {
	// Addresses are etcd's, in the registry's notation; none means what the registry makes of that.
	Addresses []string
	// Options are the registry's beside addresses, timeout and prefix. Without a logger among them
	// go-micro's default one gets what the registries say, which is in the report anyway.
	Options []registry.Option
	// Prefix is the registry's; "" means its default.
	Prefix string
	// Service limits permissions and records to one service; "" means all.
	Service string
	// TLS is for asking https:// members for their time, which etcd tells over HTTP only; nil means
	// the system's roots.
	TLS *tls.Config
	// Timeout bounds each request; 0 means 5 s.
	Timeout time.Duration
	// Progress, if not nil, is told what is being done.
	Progress func(what string, done, all int)
}

func (p *Patient) timeout() time.Duration { return cmp.Or(p.Timeout, 5*time.Second) }

func (p *Patient) progress(what string) fleet.Progress {
	if p.Progress == nil {
		return nil
	}
	return func(done, all int) { p.Progress(what, done, all) }
}

// Examine looks at everything. Its error says that it couldn't: bad options, or ctx ended. An etcd
// that can't be reached is a finding.
func Examine(ctx context.Context, p Patient) (*Report, error) {
	c, err := gather(ctx, p)
	if err != nil {
		return nil, err
	}
	return c.report(), nil
}

// examination looks at what was gathered for one thing.
type examination struct {
	check   string
	examine func(*chart) []Finding
}

// examinations in the order of their findings, within a severity.
var examinations = []examination{
	{"connection", unreachableAddresses},
	{"lookup", failedLookUp},
	{"members", unreachableMembers},
	{"plain-member", plainMembers},
	{"cluster", strangers},
	{"leader", missingLeaders},
	{"alarm", alarms},
	{"space", space},
	{"lag", lag},
	{"learner", learners},
	{"mixed-versions", mixedVersions},
	{"old-version", oldVersions},
	{"clock", clocks},
	{"permission", permissions},
	{"unread", unread},
	{"no-records", recordless},
	{"malformed", malformed},
	{"collision", collisions},
	{"misplaced", misplaced},
	{"no-lease", leaseless},
	{"expiring", expiring},
	{"size", giants},
	{"double-id", doubleIDs},
	{"shared-id", sharedIDs},
	{"double-address", doubleAddresses},
	{"plugin-key", pluginKeys},
	{"plugin-profile", pluginProfiles},
	{"empty-lease", emptyLeases},
}

func (c *chart) report() *Report {
	r := &Report{
		At: time.Now().UTC(), Addresses: c.addresses, Prefix: c.source.Dir(),
		Members: len(c.members), Reached: len(c.reached()), Versions: c.versions(), Findings: []Finding{},
	}
	if c.fleet != nil {
		r.Revision, r.Records, r.Services = c.fleet.Revision, len(c.fleet.Records), len(c.byService())
	}
	for _, e := range examinations {
		for _, f := range e.examine(c) {
			f.Check = e.check
			r.Findings = append(r.Findings, f)
		}
	}
	slices.SortStableFunc(r.Findings, func(x, y Finding) int { return cmp.Compare(y.Severity, x.Severity) })
	return r
}

func critical(advice, format string, args ...any) Finding {
	return Finding{Severity: Critical, Advice: advice, What: fmt.Sprintf(format, args...)}
}

func warning(advice, format string, args ...any) Finding {
	return Finding{Severity: Warning, Advice: advice, What: fmt.Sprintf(format, args...)}
}

func info(advice, format string, args ...any) Finding {
	return Finding{Severity: Info, Advice: advice, What: fmt.Sprintf(format, args...)}
}

// about adds the subjects.
func (f Finding) about(subjects ...string) Finding {
	f.Subjects = subjects
	return f
}

const (
	maxName  = 100 // bytes of a name in a sentence
	maxNamed = 5   // names in a sentence
)

// short cuts a name to a length for sentences.
func short(s string) string {
	if len(s) <= maxName {
		return s
	}
	return strings.ToValidUTF8(s[:maxName], "") + "…"
}

// list names some of many.
func list(names []string) string {
	var some []string
	for _, n := range names[:min(len(names), maxNamed)] {
		some = append(some, short(n))
	}
	text := strings.Join(some, ", ")
	if more := len(names) - maxNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// number says how many, with the noun and the verb that go with it.
func number(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
