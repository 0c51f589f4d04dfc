package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"coalmine/analyze"
	"coalmine/analyze/capacity"
)

// CapacityFormat writes a search for the highest rate.
type CapacityFormat func(io.Writer, analyze.Rated) error

var capacityKinds = map[string]CapacityFormat{
	"table": capacityTable, "json": indented[analyze.Rated], "markdown": capacityMarkdown, "junit": capacityJUnit, "html": capacityHTML,
}

// NamedCapacity finds a format of searches; they are called as those of runs are.
func NamedCapacity(name string) (CapacityFormat, error) { return named(capacityKinds, name) }

// CapacityLine is the one greppable sentence that a search ends with.
func CapacityLine(r analyze.Rated) string {
	word := strings.ToUpper(string(r.Result.Kind))
	line := fmt.Sprintf("coalmine: CAPACITY %s %s", word, capacitySpan(r))
	if r.Rating.AtLeast > 0 {
		line += map[analyze.Outcome]string{analyze.Pass: ", at least ", analyze.Fail: ", below ", analyze.Undecided: ", undecided against "}[r.Asked] + analyze.PerSecondOf(r.Rating.AtLeast)
	}
	if r.Result.Drift != capacity.Steady {
		line += ", the target got " + r.Result.Drift.String()
	}
	if r.Result.Stopped != "" {
		line += ", " + r.Result.Stopped
	}
	if hasty := r.Hasty(); hasty != "" {
		line += ", " + hasty
	}
	return visible(fmt.Sprintf("%s, %s, %s, %s", line, strings.Join(bounds(r), " and "), plural(r.Result.Trials, "trial"), clockTime(r.Result.Took)))
}

func bounds(r analyze.Rated) (all []string) {
	for _, o := range r.Rating.Objectives {
		all = append(all, o.String())
	}
	return all
}

func clockTime(d time.Duration) string {
	return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
}

// capacitySpan is what is proven of the interval in a few characters, and of one arm its own; then what only seems so.
func capacitySpan(r analyze.Rated) string {
	proven, seemed := provenSpan(r), seemed(r)
	switch {
	case seemed == "":
		return proven
	case proven == unknown:
		return "nothing proven, " + seemed
	}
	return proven + ", " + seemed
}

func provenSpan(r analyze.Rated) string {
	var lower, upper float64
	var own analyze.ArmRates
	if r.Arm != nil {
		own = *r.Arm
	}
	if b := r.Result.Lower; b != nil && b.Proven {
		lower = b.Rate
	} else {
		own.Lower = 0
	}
	if b := r.Result.Upper; b != nil && b.Proven {
		upper = b.Rate
	} else {
		own.Upper = 0
	}
	span := between(lower, upper)
	if r.Arm == nil || span == unknown {
		return span
	}
	return fmt.Sprintf("%s of the stage, %s", span, ownSpan(own))
}

// seemed are the bounds that no trial has proven, "" if there are none.
func seemed(r analyze.Rated) string {
	var all []string
	of := ""
	if r.Arm != nil {
		of = " of the stage"
	}
	if b := r.Result.Lower; b != nil && !b.Proven {
		all = append(all, analyze.PerSecondOf(b.Rate)+of+" seemed to hold")
	}
	if b := r.Result.Upper; b != nil && b.Lame {
		all = append(all, analyze.PerSecondOf(b.Rate)+of+" could not be sent")
	} else if b != nil && !b.Proven {
		all = append(all, analyze.PerSecondOf(b.Rate)+of+" seemed to fail")
	}
	return strings.Join(all, " and ")
}

const unknown = "unknown"

func between(lower, upper float64) string {
	switch {
	case lower > 0 && upper > 0:
		return analyze.PerSecondOf(lower) + " to " + analyze.PerSecondOf(upper)
	case lower > 0:
		return analyze.PerSecondOf(lower) + " or more"
	case upper > 0:
		return "below " + analyze.PerSecondOf(upper)
	}
	return unknown
}

// ownSpan is the interval in rates of an arm.
func ownSpan(a analyze.ArmRates) string {
	if a.Lower > 0 && a.Upper > 0 {
		return fmt.Sprintf("%s to %s of %s", analyze.PerSecondOf(a.Lower), analyze.PerSecondOf(a.Upper), name(a.Version))
	}
	return fmt.Sprintf("%s of %s", analyze.PerSecondOf(max(a.Lower, a.Upper)), name(a.Version))
}

// capacityFacts are what stands beside the interval, a line each.
func capacityFacts(r analyze.Rated) (all [][2]string) {
	add := func(name, format string, args ...any) {
		all = append(all, [2]string{name, fmt.Sprintf(format, args...)})
	}
	whose := "of the whole stage"
	if r.Rating.Version != "" {
		whose = fmt.Sprintf("of the %s, version %s; rates are the stage's", r.Rating.Arm, r.Rating.Version)
	}
	add("objectives", "%s, %s", strings.Join(bounds(r), " and "), whose)
	if r.Arm != nil {
		add("share", "%s of the stage's requests go to the %s, as it is configured", analyze.Share(r.Arm.Share), r.Rating.Arm)
	}
	if len(r.Rates) > 1 {
		var parts []string
		for _, a := range r.Rates {
			who := a.Name
			if t := r.Rating.Target; who == t.Baseline || who == t.Canary {
				who = name(who)
			}
			parts = append(parts, fmt.Sprintf("%s %.1f/s", who, a.Rate))
		}
		add("at the lower bound", "%s", strings.Join(parts, ", "))
	}
	if r.Result.Width > 0 {
		add("width", "%s of the lower bound (goal %s)", analyze.Share(r.Result.Width), analyze.Share(r.Result.Goal))
	}
	if r.Result.Conditional > 0 {
		add("conditional rate", "%.1f good answers per second at the lower bound, in all of its trials but the worst %s", r.Result.Conditional, analyze.Share(r.Rating.Search.Exceed))
	}
	if r.Result.Soaked > 0 {
		add("soak", "held at %s for %s", analyze.PerSecondOf(r.Result.Soaked), analyze.Short(r.Rating.Search.Soak))
	} else if r.Result.Lower != nil && r.Rating.Search.Soak > 0 {
		add("soak", "not done, or not decided")
	}
	if r.Rating.Ceiling > 0 {
		add("generator", "%.0f/s at most from this machine, to a target on it that does nothing", r.Rating.Ceiling)
	}
	if r.Rating.Target.Covers != "" {
		add("covers", "%s", r.Rating.Target.Covers)
	}
	for _, note := range r.Notes {
		add("note", "%s", note)
	}
	return all
}

// trialRows are the trials in the order in which they were run.
func trialRows(r analyze.Rated) (header []string, rows [][]string) {
	header = []string{"#", "purpose", "rate/s", "time", "outcome", "p50", "p99", "errors", "why"}
	for i, t := range r.Trials {
		row := []string{fmt.Sprint(i + 1), string(t.Purpose), figure(t.Rate), analyze.Short(t.Took.Round(100 * time.Millisecond)), cmp.Or(leaning(t), t.Outcome.String()), "-", "-", "-", t.Sentence}
		if a := shownArm(r, t); a.Hits > 0 {
			row[5], row[6], row[7] = latency(a.P50.Seconds()), latency(a.P99.Seconds()), analyze.Share(float64(a.Errors)/float64(a.Hits))
		}
		rows = append(rows, row)
	}
	return header, rows
}

// leaning is what a trial seemed to come to that was not decided, in brackets: "" of one that was.
func leaning(t analyze.TrialReport) string {
	if t.Outcome != capacity.Undecided || t.Leaning == capacity.Undecided {
		return ""
	}
	return "(" + t.Leaning.String() + ")"
}

// shownArm is the one that the objectives are about.
func shownArm(r analyze.Rated, t analyze.TrialReport) (a analyze.TrialArm) {
	for _, a = range t.Arms {
		if a.Name == r.Rating.Version || r.Rating.Version == "" {
			return a
		}
	}
	return analyze.TrialArm{}
}

func capacityTable(w io.Writer, r analyze.Rated) error {
	p := &page{w: w}
	p.wrap("", r.Sentence)
	p.line("")
	for _, f := range capacityFacts(r) {
		p.wrap(f[0]+": ", f[1])
	}
	p.line("")
	header, rows := trialRows(r)
	if len(rows) == 0 {
		p.wrap("", "No trial is over.")
		return p.err
	}
	for i := range rows {
		rows[i] = rows[i][:8]
	}
	p.table(header[:8], rows, 1, 4)
	p.wrap("", "(pass) and (fail): not decided within the trial's time, and leaning so. Times are those that were judged.")
	return p.err
}

func capacityMarkdown(w io.Writer, r analyze.Rated) error {
	m := &markdown{page{w: w}}
	m.line("## " + escaped("Coalmine: capacity "+capacitySpan(r)))
	m.line("")
	m.paragraph(r.Sentence)
	if t := r.Rating.Target; t.URL != "" {
		m.paragraph(fmt.Sprintf("%s %s (%s)", t.Method, t.URL, t.Where))
	}
	for _, f := range capacityFacts(r) {
		m.line("- " + escaped(f[0]+": "+f[1]))
	}
	m.line("")
	header, rows := trialRows(r)
	if len(rows) == 0 {
		m.paragraph("No trial is over.")
		return m.err
	}
	m.table(header, rows, 1, 4, 8)
	return m.err
}

// capacityJUnit has a case for the rate that was asked for, or for the search where none was, and one for the soak.
func capacityJUnit(w io.Writer, r analyze.Rated) error {
	var table strings.Builder
	if err := capacityTable(&table, r); err != nil {
		return err
	}
	asked := testcase{Name: "capacity", Class: "coalmine.capacity", Time: seconds(r.Result.Took)}
	if r.Rating.AtLeast > 0 {
		asked.Name = "capacity at least " + analyze.PerSecondOf(r.Rating.AtLeast)
	}
	switch kind := r.Result.Kind; {
	case r.Void():
		asked.Error = because("void", r.Sentence)
	case r.Rating.AtLeast > 0:
		asked.settle(r.Asked, r.Sentence)
	case r.Rejected():
		asked.Failure = because(string(kind), r.Sentence)
	case r.Open():
		asked.Skipped = because(string(kind), r.Sentence)
	}
	suite := testsuite{
		Name: "coalmine", Package: "coalmine", Timestamp: r.Header.Started.UTC().Format("2006-01-02T15:04:05"), Hostname: "localhost",
		Time: seconds(r.Result.Took), Cases: []testcase{asked}, Out: printed{table.String()}, Err: printed{CapacityLine(r)},
	}
	for _, p := range []property{{"kind", string(r.Result.Kind)}, {"interval", capacitySpan(r)}, {"objectives", strings.Join(bounds(r), ", ")},
		{"arm", r.Rating.Arm}, {"where", r.Rating.Target.Where}, {"url", r.Rating.Target.URL}, {"tool", r.Header.Tool}} {
		if p.Value != "" {
			suite.Properties = append(suite.Properties, property{p.Name, visible(p.Value)})
		}
	}
	return suite.write(w)
}

// CapacityProgress is how a search stands, in one line.
func CapacityProgress(r analyze.Rated, t *analyze.TrialReport) string {
	line := fmt.Sprintf("%6s  known: %s", clockTime(r.Result.Took), capacitySpan(r))
	if t != nil {
		line = fmt.Sprintf("%6s  trial %d, %s at %s, %s: %s | known: %s", clockTime(t.At), len(r.Trials)+1, t.Purpose, analyze.PerSecondOf(t.Rate),
			analyze.Short(t.Took), t.Sentence, capacitySpan(r))
	}
	return visible(line)
}

// CapacityTrial is the n-th trial, which is over, in one line.
func CapacityTrial(r analyze.Rated, n int) string {
	t := r.Trials[n-1]
	outcome := t.Outcome.String()
	if leans := leaning(t); leans != "" {
		outcome += " " + leans
	}
	return visible(fmt.Sprintf("%6s  trial %d, %s at %s, %s: %s, %s", clockTime(t.At), n, t.Purpose, analyze.PerSecondOf(t.Rate), analyze.Short(t.Took), outcome, t.Sentence))
}
