package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"coalmine/analyze"
)

// drawing makes the charts of an analysis.
type drawing struct {
	analyze.Analysis
	t     *analyze.Timeline
	arms  []string // shown
	left  int      // versions that are not
	tones map[string]string
	whole []analyze.Moment // of the tested stage
}

func draw(a analyze.Analysis) *drawing {
	d := &drawing{Analysis: a, t: a.Timeline}
	if d.t == nil {
		d.t = &analyze.Timeline{}
	}
	d.tones = tones(d.t.Arms, a.Header.Target)
	for _, m := range d.t.Moments {
		if !strings.Contains(m.Phase, "/") { // other stages answer other versions: they are in the table of phases
			d.whole = append(d.whole, m)
		}
	}
	d.arms, d.left = busiest(d.whole, d.t.Arms, a.Header.Target)
	return d
}

func (d *drawing) charts() []chart {
	charts := []chart{d.who(), d.percentiles(), d.latency(), d.errors(), d.classes()}
	if d.Header.Policy != nil && !d.Header.Target.Alone() {
		charts = slices.Insert(charts, 0, d.split())
	}
	return charts
}

// middle is where a moment is drawn.
func middle(m analyze.Moment) float64 { return (m.Start + m.Length/2).Seconds() }

// timeAxis is that of those moments.
func timeAxis(moments []analyze.Moment) axis {
	a := axis{Unit: "s"}
	if n := len(moments); n > 0 {
		a.Min, a.Max = ptr(digits(moments[0].Start.Seconds(), 6)), ptr(digits((moments[n-1].Start+moments[n-1].Length).Seconds(), 6))
	}
	return a
}

// broken puts a gap between moments that do not follow each other.
func (d *drawing) broken(moments []analyze.Moment, each func(at float64, m *analyze.Moment)) {
	for i := range moments {
		m := &moments[i]
		if i > 0 {
			if before := moments[i-1]; before.Phase != m.Phase || m.Start-before.Start-before.Length > 2*d.t.Length {
				each((before.Start + before.Length).Seconds(), nil)
			}
		}
		each(middle(*m), m)
	}
}

const nothingSent = "The run file holds no traffic: there is nothing to draw."

func (d *drawing) split() chart {
	h := d.Header
	share, margin := h.Target.Percent, h.Policy.Split.Margin
	c := chart{ID: "split", Title: "Split", Time: true, X: timeAxis(d.whole), Y: axis{Unit: "%"},
		Caption: fmt.Sprintf("Share of version %s among answers that name a version. The band is what the evidence leaves possible: each of its edges is wrong with probability %s at most, however often one looks. PROMOTE needs it between the limits.",
			label(h.Target.Canary), analyze.Share(h.Policy.Alpha)),
		Rules: []rule{{share, "configured", "ink"}, {share - margin, "limit", "fail"}, {share + margin, "limit", "fail"}},
		Bands: [][2]int{{3, 2}}}
	dots := series{Label: "seen in " + analyze.Short(d.t.Length), Tone: "canary", Dots: true}
	mean := series{Label: "seen so far", Tone: "canary", Spans: true}
	low := series{Label: "proven, from", Tone: "band", Spans: true}
	high := series{Label: "proven, to", Tone: "band", Spans: true}
	for _, m := range d.whole {
		if m.Phase != analyze.During {
			continue
		}
		canary, baseline := m.Arms[h.Target.Canary].Hits, m.Arms[h.Target.Baseline].Hits
		c.At = append(c.At, middle(m))
		dots.add(100 * over(canary, canary+baseline))
		if m.Judged == nil {
			mean.add(gap)
			low.add(gap)
			high.add(gap)
			continue
		}
		mean.add(100 * m.Judged.Canary)
		low.add(100 * m.Judged.Low)
		high.add(100 * m.Judged.High)
	}
	c.Series = []series{dots, mean, low, high}
	if _, _, ok := extent(mean.Values); !ok {
		c.Series, c.Bands = c.Series[:1], nil
		c.Caption = fmt.Sprintf("Share of version %s among answers that name a version. Nothing is said of the split before settle is over: without that there is no band of what is possible.", label(h.Target.Canary))
	}
	switch _, _, ok := extent(dots.Values); {
	case len(c.At) == 0:
		c.Empty = "No traffic was sent while the canary was live: there is no split to draw."
		return c
	case !ok:
		c.Empty = "No answer named one of the two versions: there is no split to draw."
		return c
	}
	c.X = timeAxis(slices.DeleteFunc(slices.Clone(d.whole), func(m analyze.Moment) bool { return m.Phase != analyze.During }))
	if changed := d.Propagation.Changed; changed != nil && c.X.Min != nil {
		c.X.Min = ptr(min(*c.X.Min, digits(changed.Seconds(), 6)))
	}
	c.Y.Min, c.Y.Max = d.splitRange(dots.Values, mean.Values)
	c.tabulate("time")
	return c
}

// splitRange shows the limits with room around them, and whatever most moments saw: the way there may leave the chart.
func (d *drawing) splitRange(dots, mean numbers) (low, high *float64) {
	share, margin := d.Header.Target.Percent, d.Header.Policy.Split.Margin
	seen := slices.DeleteFunc(slices.Clone(dots), math.IsNaN)
	slices.Sort(seen)
	from, to := share-2.5*margin, share+2.5*margin
	if n := len(seen); n > 0 {
		from, to = min(from, seen[n/10]), max(to, seen[n-1-n/10])
	}
	if least, most, ok := extent(mean); ok {
		from, to = min(from, least-margin), max(to, most+margin)
	}
	return ptr(max(from, 0)), ptr(min(to, 100))
}

func (d *drawing) who() chart {
	c := chart{ID: "who", Title: "Who answered", Time: true, X: timeAxis(d.whole), Y: axis{Unit: "/s", Min: ptr(0)},
		Caption: "Answers per second by version, by the time their requests were due." + d.others()}
	var lines []series
	for _, name := range d.arms {
		lines = append(lines, series{Label: "version " + label(name), Tone: d.tones[name], Dash: d.dash(name)})
	}
	nameless, pending := series{Label: "no version named", Tone: "muted", Dash: 1}, series{Label: "never answered", Tone: "fail", Dash: 3}
	anonymous, open := false, false
	d.broken(d.whole, func(at float64, m *analyze.Moment) {
		c.At = append(c.At, at)
		per := func(n uint64) float64 { return float64(n) / m.Length.Seconds() }
		for i, name := range d.arms {
			if m == nil {
				lines[i].add(gap)
			} else {
				lines[i].add(per(m.Arms[name].Hits))
			}
		}
		if m == nil {
			nameless.add(gap)
			pending.add(gap)
			return
		}
		nameless.add(per(m.Unattributed))
		pending.add(per(m.Pending))
		anonymous, open = anonymous || m.Unattributed > 0, open || m.Pending > 0
	})
	if anonymous {
		lines = append(lines, nameless)
	}
	if open {
		lines = append(lines, pending)
	}
	c.Series = lines
	if _, _, ok := extent(values(lines)...); !ok {
		c.Empty = nothingSent
		return c
	}
	c.tabulate("time")
	return c
}

func (d *drawing) dash(name string) int {
	switch i := slices.Index(d.arms, name); {
	case name == d.Header.Target.Baseline:
		return 1
	case name == d.Header.Target.Canary:
		return 0
	default:
		return i % 4
	}
}

func (d *drawing) others() string {
	if d.left == 0 {
		return ""
	}
	return fmt.Sprintf(" %d more versions answered; they are in the table of phases.", d.left)
}

func (d *drawing) latency() chart {
	c := chart{ID: "latency", Half: true, Title: "Latency over time", Time: true, X: timeAxis(d.whole), Y: axis{Unit: "ms", Log: true},
		Caption: "Response times of successes from the moment a request was due: median, p95 and p99 by version." + d.others()}
	arms := d.arms
	if len(arms) > 3 {
		arms = arms[:3]
	}
	for _, name := range arms {
		for i, q := range []string{"p50", "p95", "p99"} {
			c.Series = append(c.Series, series{Label: q + " of " + label(name), Tone: d.tones[name], Dash: []int{0, 1, 2}[i]})
		}
	}
	d.broken(d.whole, func(at float64, m *analyze.Moment) {
		c.At = append(c.At, at)
		for i, name := range arms {
			arm := analyze.Answered{}
			if m != nil {
				arm = m.Arms[name]
			}
			for j, q := range []time.Duration{arm.P50, arm.P95, arm.P99} {
				c.Series[3*i+j].add(ms(q))
			}
		}
	})
	if _, _, ok := extent(values(c.Series)...); !ok {
		c.Empty = "There was no successful answer: there are no latencies to draw."
		return c
	}
	c.tabulate("time")
	return c
}

func values(all []series) (out []numbers) {
	for _, s := range all {
		out = append(out, s.Values)
	}
	return out
}

func (d *drawing) percentiles() chart {
	var curves []analyze.Curve
	var lines []series
	for _, curve := range d.t.Curves {
		main := curve.Phase == analyze.During || curve.Phase == analyze.Attack || d.Header.Target.Alone()
		context := (curve.Phase == analyze.Before || curve.Phase == analyze.Bake) && curve.Role != "foreign"
		if !main && !context || !slices.Contains(d.arms, curve.Arm) {
			continue
		}
		s := series{Label: "version " + label(curve.Arm), Tone: d.tones[curve.Arm]}
		if curve.Arm == d.Header.Target.Baseline {
			s.Dash = 1
		}
		if curve.Phase != analyze.During && curve.Phase != analyze.Attack {
			s.Label, s.Dash = s.Label+" "+curve.Phase, 2+len(curves)%2
		}
		curves, lines = append(curves, curve), append(lines, s)
	}
	return percentileChart(curves, lines)
}

// percentileChart has one point for every 20th of a power of ten of 1/(1-q).
func percentileChart(curves []analyze.Curve, lines []series) chart {
	const perDecade = 20
	c := chart{ID: "percentiles", Half: true, Title: "Latency by percentile", X: axis{Unit: "nines"}, Y: axis{Unit: "ms", Log: true},
		Caption: "Response times of successes. Each step to the right leaves out nine tenths of the slower answers: p90, p99, p99.9."}
	longest := 0
	for i, curve := range curves {
		points := curve.Points(perDecade)
		if len(points) == 0 {
			continue
		}
		s := lines[i]
		for _, p := range points {
			s.add(ms(p.Latency))
		}
		longest = max(longest, len(points))
		c.Series = append(c.Series, s)
	}
	for i := range longest {
		c.At = append(c.At, float64(i)/perDecade)
		for j := range c.Series {
			if len(c.Series[j].Values) <= i {
				c.Series[j].add(gap)
			}
		}
	}
	if len(c.Series) == 0 {
		c.Empty = "There was no successful answer: there are no latencies to draw."
		return c
	}
	c.tabulate("percentile")
	return c
}

// errors are the versions' own.
func (d *drawing) errors() chart {
	c := chart{ID: "errors", Half: true, Title: "Errors by version", Time: true, X: timeAxis(d.whole), Y: axis{Unit: "%", Min: ptr(0)},
		Caption: "Share of each version's answers that are errors, whatever their class." + d.others()}
	failed, all := uint64(0), uint64(0)
	var lines []series
	for _, name := range d.arms {
		lines = append(lines, series{Label: "version " + label(name), Tone: d.tones[name], Dash: d.dash(name)})
	}
	d.broken(d.whole, func(at float64, m *analyze.Moment) {
		c.At = append(c.At, at)
		for i, name := range d.arms {
			if m == nil {
				lines[i].add(gap)
				continue
			}
			arm := m.Arms[name]
			failed, all = failed+arm.Errors, all+arm.Hits
			lines[i].add(100 * over(arm.Errors, arm.Hits))
		}
	})
	c.Series = lines
	switch {
	case all == 0:
		c.Empty = "No answer named a version: there are no errors to lay at anyone's door."
	case failed == 0:
		c.Empty = fmt.Sprintf("No errors among %s answers that name a version.", analyze.Count(all))
	default:
		if p := d.Header.Policy; p != nil {
			c.Rules = []rule{{100 * float64(p.Errors.Max), "limit of each version", "fail"}}
		}
		c.tabulate("time")
	}
	return c
}

func (d *drawing) classes() chart {
	c := chart{ID: "classes", Half: true, Title: "Errors by class", Time: true, X: timeAxis(d.whole), Y: axis{Unit: "%", Min: ptr(0)},
		Caption: "Share of all answers by class of error, whoever made it."}
	var names []string
	all := uint64(0)
	for _, m := range d.whole {
		all += m.Hits
		for class := range m.Classes {
			if !slices.Contains(names, class) {
				names = append(names, class)
			}
		}
	}
	slices.Sort(names)
	names = names[:min(len(names), 8)]
	for i, class := range names {
		c.Series = append(c.Series, series{Label: label(class), Tone: fmt.Sprintf("class%d", i%6), Dash: i % 4})
	}
	d.broken(d.whole, func(at float64, m *analyze.Moment) {
		c.At = append(c.At, at)
		for i, class := range names {
			if m == nil {
				c.Series[i].add(gap)
			} else {
				c.Series[i].add(100 * over(m.Classes[class], m.Hits))
			}
		}
	})
	switch {
	case all == 0:
		c.Empty = nothingSent
	case len(names) == 0:
		c.Empty = fmt.Sprintf("No errors of any class among %s answers.", analyze.Count(all))
	default:
		c.tabulate("time")
	}
	return c
}

const (
	mostSamples = 200 // of a course
	mostCourses = 32
)

// evidence has one small chart a check.
func (d *drawing) evidence() (charts []chart) {
	for i, course := range d.t.Courses {
		c := chart{ID: fmt.Sprintf("evidence-%d", i), Title: label(course.Name), Small: true, X: axis{Unit: "s"}, Y: axis{Unit: "odds"}}
		quiet := len(charts) == mostCourses
		for _, check := range d.Checks {
			if check.Name == course.Name {
				c.Caption, quiet = check.Outcome.String(), quiet || silent(check)
			}
		}
		if quiet {
			continue
		}
		pass, fail := series{Label: "for a pass", Tone: "pass"}, series{Label: "for a fail", Tone: "fail", Dash: 1}
		every := (len(course.At) + mostSamples - 1) / mostSamples
		for j := range course.At {
			if j%every == 0 || j == len(course.At)-1 {
				c.At = append(c.At, course.At[j].Seconds())
				pass.add(course.Pass[j] / math.Ln10)
				fail.add(course.Fail[j] / math.Ln10)
			}
		}
		top := course.ToFail / math.Ln10
		if course.ToPass > 0 {
			c.Series = append(c.Series, pass)
			c.Rules = append(c.Rules, rule{digits(course.ToPass/math.Ln10, 5), "passes", "pass"})
			top = max(top, course.ToPass/math.Ln10)
		}
		c.Series = append(c.Series, fail)
		c.Rules = append(c.Rules, rule{digits(course.ToFail/math.Ln10, 5), "fails", "fail"})
		c.Y.Min, c.Y.Max = ptr(-2), ptr(digits(1.5*top, 5))
		c.tabulate("time")
		charts = append(charts, c)
	}
	return charts
}

// marks are the moments worth a line.
func (d *drawing) marks() (marks []moment) {
	t := d.Propagation
	acted := d.Action
	if acted == "" || acted == "none" {
		acted = "acted"
	}
	add := func(at *time.Duration, label string) {
		if at != nil {
			marks = append(marks, moment{digits(at.Seconds(), 6), label})
		}
	}
	add(t.Changed, "canary asked for")
	add(t.Deployed, "canary deployed")
	add(t.FirstCanary, "first answer of the canary")
	add(t.Armed, "armed: the split had settled")
	add(t.Judged, "judging begins")
	if c := d.Conclusion; c.At > 0 {
		add(&c.At, "verdict: "+c.Verdict.String())
	}
	add(t.Acted, acted)
	if t.Straggler != nil && t.Acted != nil && *t.Straggler > *t.Acted {
		add(t.Straggler, "last straggler of the other version")
	}
	seen := 0
	for _, e := range d.Events {
		text := map[string]string{analyze.StageChanged: "stage changed under the test", analyze.ClockJump: "clock jumped", analyze.BreakerTripped: "circuit breaker",
			analyze.PercentSet: "percentage set"}[e.Name]
		if text == "" || seen == 12 {
			continue
		}
		if percent := e.Detail["percent"]; percent != "" && e.Name == analyze.PercentSet {
			text = "percentage set to " + label(percent)
		}
		seen++
		add(&e.At, text)
	}
	slices.SortStableFunc(marks, func(a, b moment) int { return cmp.Compare(a.At, b.At) })
	return marks
}

func (d *drawing) regions() (regions []region) {
	for _, p := range d.Phases {
		if len(regions) < 16 {
			regions = append(regions, region{digits(p.Start.Seconds(), 6), digits((p.Start + p.Length).Seconds(), 6), label(p.Name)})
		}
	}
	return regions
}

// label is a name from outside, fit for a legend.
func label(s string) string { return shorten(visible(s), 40) }
