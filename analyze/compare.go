package analyze

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"coalmine/analyze/sequential"
	"coalmine/attack"
)

// Run is a run in a few numbers, to be set beside others.
type Run struct {
	File     string        `json:"file,omitempty"`
	Command  string        `json:"command"`
	Name     string        `json:"name,omitempty"`
	Started  time.Time     `json:"started"`
	Verdict  string        `json:"verdict"` // none: nothing was judged
	Percent  float64       `json:"percent"` // configured, to the canary
	Requests uint64        `json:"requests"`
	Length   time.Duration `json:"length_ns"`
	Judged   bool          `json:"judged"` // or all that there was came before the split had settled
	Arms     []Measured    `json:"arms"`   // of the part of the run that was judged, if any was
	End      string        `json:"end"`
}

// Measured is an arm of a run with intervals that hold their value at any time, also at the time at which the run's own
// evidence stopped it: Robbins' beta-binomial confidence sequence for shares, and the same for "faster than x" at every
// x for quantiles (Howard and Ramdas, Sequential estimation of quantiles, Bernoulli 28(3), 2022). Fixed-size intervals
// (Newcombe, order statistics) would promise more than they hold there. Hits count as independent.
type Measured struct {
	Name   string   `json:"name"`
	Role   string   `json:"role"`
	Hits   uint64   `json:"hits"`
	Share  Estimate `json:"share"`  // of the answers that name a version
	Errors Estimate `json:"errors"` // share of its own
	P50    Estimate `json:"p50_ns"` // of successes
	P95    Estimate `json:"p95_ns"`
	P99    Estimate `json:"p99_ns"`
}

// Estimate is a number and where it may be; nil: not known.
type Estimate struct {
	Value *float64 `json:"value,omitempty"`
	Interval
}

// Summarise gives each interval of a run error alpha.
func Summarise(a Analysis, alpha float64) Run {
	r := Run{Command: a.Header.Command, Name: a.Header.Name, Started: a.Header.Started, Verdict: "none", Percent: a.Header.Target.Percent,
		Requests: a.Requests(), Arms: []Measured{}, End: a.End.Reason}
	if a.Header.Policy != nil {
		r.Verdict = a.Conclusion.Verdict.String()
	}
	main := a.Main()
	if n := len(a.Phases); n > 0 {
		r.Length = a.Phases[n-1].Start + a.Phases[n-1].Length
	}
	if main == nil {
		return r
	}
	r.Judged = main.Name != During || a.Header.Policy == nil || a.Propagation.Judged != nil
	named := uint64(0)
	for _, arm := range main.Arms {
		if arm.Role != "unattributed" {
			named += arm.Hits
		}
	}
	for _, arm := range main.Arms {
		if arm.Role == "unattributed" {
			continue
		}
		m := Measured{Name: arm.Name, Role: arm.Role, Hits: arm.Hits, Share: proportion(arm.Hits, named, alpha), Errors: proportion(arm.Errors, arm.Hits, alpha)}
		for _, c := range a.curves() {
			if h := c.Response; c.Arm == arm.Name && len(h) > 0 {
				m.P50, m.P95, m.P99 = quantile(h, 0.5, alpha), quantile(h, 0.95, alpha), quantile(h, 0.99, alpha)
			}
		}
		r.Arms = append(r.Arms, m)
	}
	return r
}

// Main is the phase that the run is about: that of the live canary, or the last; nil if there is none.
func (a Analysis) Main() *Phase {
	for i := range a.Phases {
		if a.Phases[i].Name == During {
			return &a.Phases[i]
		}
	}
	if len(a.Phases) == 0 {
		return nil
	}
	return &a.Phases[len(a.Phases)-1]
}

// curves are those of the phase that the run is about.
func (a Analysis) curves() (curves []Curve) {
	if main := a.Main(); main != nil && a.Timeline != nil {
		for _, c := range a.Timeline.Curves {
			if c.Phase == main.Name {
				curves = append(curves, c)
			}
		}
	}
	return curves
}

var sequence, _ = sequential.NewBetaSequence(0.5, 0.5)

func proportion(k, n uint64, alpha float64) Estimate {
	if n == 0 {
		return Estimate{}
	}
	low, high := sequence.Interval(k, n, alpha)
	return Estimate{ptr(float64(k) / float64(n)), Interval{ptr(sixDigits(low)), ptr(sixDigits(high))}}
}

// quantile is that of a histogram. An edge x is proven to be below it when so few answers were faster that the sequence
// rules out "q of all are faster than x", and above it when so many were. Few answers prove neither end.
func quantile(h attack.Histogram, q, alpha float64) Estimate {
	n := h.Total()
	out := Estimate{Value: ptr(float64(h.Quantile(q)))}
	excluded := func(k uint64) bool { return sequence.Log(k, n, q) >= -math.Log(alpha) }
	middle := uint64(q * float64(n))
	// as k leaves the middle the evidence grows: the border is found by halving
	few := uint64(sort.Search(int(middle)+1, func(i int) bool { return !excluded(uint64(i)) })) // so many are not few enough any more
	many := middle + 1 + uint64(sort.Search(int(n-middle), func(i int) bool { return excluded(middle + 1 + uint64(i)) }))
	var seen uint64
	for _, b := range h {
		if few > 0 && seen < few { // seen answers were faster than this bin's start
			out.Low = ptr(sixDigits(attack.BinStart(b.Bin)))
		}
		seen += b.Count
		if out.High == nil && many <= n && seen >= many {
			out.High = ptr(sixDigits(attack.BinStart(b.Bin + 1)))
		}
	}
	return out
}

// Contrast is one number of two runs.
type Contrast struct {
	Arm      string   `json:"arm"`  // role, or version where there are no roles
	What     string   `json:"what"` // share, errors, p50, p95 or p99
	Unit     string   `json:"unit"` // of the change: points or ratio
	A        Estimate `json:"a"`
	B        Estimate `json:"b"`
	Change   Estimate `json:"change"` // from A to B
	Differs  bool     `json:"differs"`
	Sentence string   `json:"sentence"`
}

// Comparison is two runs set side by side.
type Comparison struct {
	A         Run        `json:"a"`
	B         Run        `json:"b"`
	Alpha     float64    `json:"alpha"`  // any of all the intervals misses its value with this probability at most
	SetUp     []string   `json:"set_up"` // what was not the same to begin with
	Contrasts []Contrast `json:"contrasts"`
	Sentence  string     `json:"sentence"`
	Curves    [2][]Curve `json:"-"` // of the latencies of A and B
}

const comparisonAlpha = 0.05

// Compare sets b beside a. Two intervals make each contrast, and all contrasts share alpha (Bonferroni): among runs that
// do not differ, one in twenty comparisons at most says that something does.
func Compare(a, b Analysis) Comparison {
	pairs, contrasts := matched(Summarise(a, comparisonAlpha), Summarise(b, comparisonAlpha)), 0
	for _, p := range pairs {
		contrasts += len(p.contrasts())
	}
	each := comparisonAlpha / float64(max(2*contrasts, 1))
	c := Comparison{A: Summarise(a, each), B: Summarise(b, each), Alpha: comparisonAlpha, SetUp: setUp(a.Header, b.Header), Contrasts: []Contrast{}, Curves: [2][]Curve{a.curves(), b.curves()}}
	for i, r := range []Run{c.A, c.B} {
		if !r.Judged && len(r.Arms) > 0 {
			c.SetUp = append(c.SetUp, []string{"A", "B"}[i]+" ended before the split had settled: its numbers are of the way there, and its share says nothing")
		}
	}
	var differ []string
	for _, p := range matched(c.A, c.B) {
		for _, x := range p.contrasts() {
			c.Contrasts = append(c.Contrasts, x)
			if x.Differs {
				differ = append(differ, x.Arm+" "+x.What)
			}
		}
	}
	switch {
	case len(c.Contrasts) == 0:
		c.Sentence = "Nothing to compare: no version answered in both runs."
	case len(differ) == 0:
		c.Sentence = "Nothing differs beyond noise. That is no proof that nothing differs: the intervals say by how much it may."
	default:
		c.Sentence = "Beyond noise: " + list(differ) + "."
	}
	return c
}

func list(words []string) string {
	out := ""
	for i, word := range words {
		switch {
		case i > 0 && i == len(words)-1:
			out += " and "
		case i > 0:
			out += ", "
		}
		out += word
	}
	return out
}

// pair is the same arm of two runs.
type pair struct {
	arm   string
	share bool // says something: the split had settled in both
	a, b  Measured
}

// matched are arms of the same role, and where there are no roles, versions of the same name.
func matched(a, b Run) (pairs []pair) {
	for _, x := range a.Arms {
		key := func(m Measured) string {
			if m.Role == "baseline" || m.Role == "canary" {
				return m.Role
			}
			return m.Name
		}
		i := slices.IndexFunc(b.Arms, func(m Measured) bool { return key(m) == key(x) })
		if i >= 0 && x.Hits > 0 && b.Arms[i].Hits > 0 {
			pairs = append(pairs, pair{key(x), a.Judged && b.Judged && key(x) != "baseline", x, b.Arms[i]}) // the baseline's share is what the canary's leaves
		}
	}
	return pairs
}

func (p pair) contrasts() (out []Contrast) {
	if p.share {
		out = append(out, difference(p.arm, "share", p.a.Share, p.b.Share))
	}
	out = append(out, difference(p.arm, "errors", p.a.Errors, p.b.Errors))
	for _, q := range []struct {
		name string
		a, b Estimate
	}{{"p50", p.a.P50, p.b.P50}, {"p95", p.a.P95, p.b.P95}, {"p99", p.a.P99, p.b.P99}} {
		if q.a.Value != nil && q.b.Value != nil {
			out = append(out, ratio(p.arm, q.name, q.a, q.b))
		}
	}
	return out
}

func difference(arm, what string, a, b Estimate) Contrast {
	c := Contrast{Arm: arm, What: what, Unit: UnitPoints, A: a, B: b}
	c.Change = Estimate{ptr(sixDigits((*b.Value - *a.Value) * 100)), Interval{ptr(sixDigits((*b.Low - *a.High) * 100)), ptr(sixDigits((*b.High - *a.Low) * 100))}}
	c.Differs = *c.Change.Low > 0 || *c.Change.High < 0
	c.Sentence = c.sentence(Share(*a.Value), Share(*b.Value))
	return c
}

func ratio(arm, what string, a, b Estimate) Contrast {
	c := Contrast{Arm: arm, What: what, Unit: UnitRatio, A: a, B: b}
	c.Change.Value = over(b.Value, a.Value)
	c.Change.Low, c.Change.High = over(b.Low, a.High), over(b.High, a.Low)
	c.Differs = c.Change.Low != nil && *c.Change.Low > 0 || c.Change.High != nil && *c.Change.High < 0
	c.Sentence = c.sentence(Short(time.Duration(*a.Value)), Short(time.Duration(*b.Value)))
	return c
}

// over is the increase from a to b, nil where one of them is not known.
func over(b, a *float64) *float64 {
	if a == nil || b == nil || !(*a > 0) {
		return nil
	}
	return ptr(sixDigits(*b / *a - 1))
}

func (c Contrast) sentence(a, b string) string {
	unit := Check{Unit: c.Unit}
	signed := func(x *float64, open string) string {
		switch {
		case x == nil:
			return open
		case c.Unit == UnitPoints && *x > 0:
			return "+" + unit.Format(*x)
		}
		return unit.Format(*x)
	}
	text := sentence("%s %s: %s, then %s (%s; possible %s to %s)", c.Arm, c.What, a, b, signed(c.Change.Value, "?"), signed(c.Change.Low, "anything less"), signed(c.Change.High, "anything more"))
	if c.Differs {
		return text + ": beyond noise."
	}
	return text + ": within noise."
}

// setUp says in what two runs were not the same to begin with.
func setUp(a, b Header) []string {
	out := []string{}
	say := func(what, x, y string) {
		if x != y {
			x, y = cmp.Or(x, "none"), cmp.Or(y, "none")
			out = append(out, fmt.Sprintf("%s: %s, then %s", what, x, y))
		}
	}
	say("command", a.Command, b.Command)
	say("scenario", a.Name, b.Name)
	say("stage", named(" ", a.Target.API, a.Target.Stage), named(" ", b.Target.API, b.Target.Stage))
	say("request", a.Target.Method+" "+a.Target.URL, b.Target.Method+" "+b.Target.URL)
	say("versions", named(" and ", a.Target.Baseline, a.Target.Canary), named(" and ", b.Target.Baseline, b.Target.Canary))
	say("canary's share", shareOf(a.Target), shareOf(b.Target))
	say("requests a second", fmt.Sprintf("%.4g", a.Plan.Rate), fmt.Sprintf("%.4g", b.Plan.Rate))
	say("timeout", Short(a.Plan.Timeout), Short(b.Plan.Timeout))
	say("tool", a.Tool, b.Tool)
	return out
}

// named joins what has a name: an attack has no versions, a URL alone no stage.
func named(with string, names ...string) string {
	return strings.Join(slices.DeleteFunc(names, func(s string) bool { return s == "" }), with)
}

// shareOf is the canary's, "" where there is none.
func shareOf(t Target) string {
	if t.Canary == "" {
		return ""
	}
	return fmt.Sprintf("%.4g %%", t.Percent)
}
