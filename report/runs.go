package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"coalmine/analyze"
)

// ComparisonFormat writes two runs side by side.
type ComparisonFormat func(io.Writer, analyze.Comparison) error

// NamedComparison finds a format of comparisons: table, json or html.
func NamedComparison(name string) (ComparisonFormat, error) {
	return named(map[string]ComparisonFormat{"table": comparisonTable, "json": indented[analyze.Comparison], "html": comparisonHTML}, name)
}

// HistoryFormat writes many runs.
type HistoryFormat func(io.Writer, analyze.History) error

// NamedHistory finds a format of histories: table, json or html.
func NamedHistory(name string) (HistoryFormat, error) {
	return named(map[string]HistoryFormat{"table": historyTable, "json": indented[analyze.History], "html": historyHTML}, name)
}

// comparisonTable fits a terminal of 80 columns.
func comparisonTable(w io.Writer, c analyze.Comparison) error {
	p := &page{w: w}
	p.wrap("", c.Sentence)
	p.line("")
	for i, r := range []analyze.Run{c.A, c.B} {
		p.wrap([]string{"A: ", "B: "}[i], runLine(r))
	}
	for _, difference := range c.SetUp {
		p.wrap("not the same to begin with: ", difference)
	}
	if len(c.Contrasts) > 0 {
		p.line("")
		g := contrastGrid(c)
		p.table(g.Head, g.Rows, 0, 1)
		p.wrap("", intervals(c.Alpha))
	}
	return p.err
}

func intervals(alpha float64) string {
	return fmt.Sprintf("All intervals together hold their values with probability %.4g %%, also for runs that stopped on their own evidence (beta-binomial confidence sequences, Bonferroni); they take hits to be independent.", 100*(1-alpha))
}

func runLine(r analyze.Run) string {
	parts := []string{}
	for _, part := range []string{r.File, r.Command, r.Name} {
		if part != "" {
			parts = append(parts, visible(part))
		}
	}
	line := strings.Join(parts, ", ")
	if !r.Started.IsZero() {
		line += ", " + r.Started.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	return fmt.Sprintf("%s, %s, %s requests, %s", line, r.Verdict, analyze.Count(r.Requests), analyze.Short(r.Length))
}

func contrastGrid(c analyze.Comparison) (g grid) {
	g.Head = []string{"version", "what", "A", "B", "change", "possible", "beyond noise"}
	for _, x := range c.Contrasts {
		answer := "no"
		if x.Differs {
			answer = "YES"
		}
		g.Rows = append(g.Rows, []string{label(x.Arm), x.What, estimated(x, x.A.Value), estimated(x, x.B.Value), moved(x, x.Change.Value),
			moved(x, x.Change.Low) + " to " + moved(x, x.Change.High), answer})
	}
	return g
}

// estimated is a number of one run: a share where the change is in points, else a time.
func estimated(c analyze.Contrast, x *float64) string {
	switch {
	case x == nil:
		return "-"
	case c.Unit == analyze.UnitPoints:
		return analyze.Share(*x)
	}
	return analyze.Short(time.Duration(*x))
}

func moved(c analyze.Contrast, x *float64) string {
	if x == nil {
		return "?"
	}
	text := analyze.Check{Unit: c.Unit}.Format(*x)
	if c.Unit == analyze.UnitPoints && *x > 0 {
		return "+" + text
	}
	return text
}

// runsPage is what a page of several runs is made from.
type runsPage struct {
	Title, Where, Word, Why, Tone string
	Notes                         []string
	Grid                          grid
	Caption                       string
	Charts                        []chart
	Runs                          []fact
}

func (p runsPage) write(w io.Writer) error {
	var body bytes.Buffer
	if err := pages.ExecuteTemplate(&body, "runs", p); err != nil {
		return err
	}
	charts := []chart{}
	for _, c := range p.Charts {
		if c.Empty == "" {
			charts = append(charts, c)
		}
	}
	data, err := json.Marshal(drawn{Charts: charts})
	if err != nil {
		return err
	}
	return writeDocument(w, document{Title: p.Title, Body: template.HTML(body.String()), Data: template.JS(data)})
}

func comparisonHTML(w io.Writer, c analyze.Comparison) error {
	p := runsPage{Title: "coalmine: two runs", Word: "A and B", Why: visible(c.Sentence), Tone: "plain", Grid: contrastGrid(c), Caption: intervals(c.Alpha),
		Runs: []fact{{"A", runLine(c.A), ""}, {"B", runLine(c.B), ""}}}
	for i := range p.Grid.Rows {
		for j, cell := range p.Grid.Rows[i] {
			p.Grid.Rows[i][j] = dashed(cell)
		}
	}
	var curves []analyze.Curve
	var lines []series
	for i, run := range []string{"A", "B"} {
		for j, curve := range c.Curves[i] {
			s := series{Label: run + ": version " + label(curve.Arm), Tone: curve.Role, Dash: 2 * (1 - i)}
			if curve.Role != "baseline" && curve.Role != "canary" {
				s.Tone = fmt.Sprint("other", j%3)
			}
			if j < mostArms {
				curves, lines = append(curves, curve), append(lines, s)
			}
		}
	}
	p.Charts = []chart{percentileChart(curves, lines)}
	for _, difference := range c.SetUp {
		p.Notes = append(p.Notes, "Not the same to begin with: "+visible(difference))
	}
	return p.write(w)
}

// historyTable fits a terminal of 80 columns.
func historyTable(w io.Writer, h analyze.History) error {
	p := &page{w: w}
	g := historyGrid(h, false)
	if len(g.Rows) > 0 {
		p.table(g.Head, g.Rows, 0, 1)
		p.wrap("", "Times are UTC. Errors and p95: baseline, canary. Each run's number and file:")
		for i, r := range h.Runs {
			p.wrap(fmt.Sprintf("%d: ", i+1), r.File)
		}
	} else {
		p.wrap("", "There is no run to show.")
	}
	for _, left := range h.Left {
		p.wrap("left out: ", left.File+": "+left.Why)
	}
	return p.err
}

// historyGrid has the intervals only where there is room.
func historyGrid(h analyze.History, roomy bool) (g grid) {
	g.Head = []string{"run", "verdict", "started", "conf.", "share", "errors", "p95"}
	if roomy {
		g.Head = []string{"run", "verdict", "started (UTC)", "configured", "share of the canary", "possible", "errors", "p95"}
	}
	for i, r := range h.Runs {
		canary, baseline := armOf(r, "canary"), armOf(r, "baseline")
		share, possible, configured := "-", "-", "-"
		if canary.Share.Value != nil {
			share = analyze.Share(*canary.Share.Value)
			possible = fmt.Sprintf("%.1f–%.1f %%", *canary.Share.Low*100, *canary.Share.High*100)
		}
		if r.Percent > 0 {
			configured = fmt.Sprintf("%.4g %%", r.Percent)
		}
		row := []string{fmt.Sprint(i + 1), r.Verdict, r.Started.UTC().Format("01-02 15:04"), configured, share}
		if roomy {
			row[2] = r.Started.UTC().Format("2006-01-02 15:04:05")
			row = append(row, possible)
		}
		g.Rows = append(g.Rows, append(row, share2(baseline.Errors)+" "+share2(canary.Errors), time2(baseline.P95)+" "+time2(canary.P95)))
	}
	return g
}

// armOf is the arm of a role; where there are none, the only version is the baseline.
func armOf(r analyze.Run, role string) (m analyze.Measured) {
	for _, m := range r.Arms {
		if m.Role == role {
			return m
		}
	}
	if len(r.Arms) == 1 && role == "baseline" && r.Arms[0].Role != "canary" {
		return r.Arms[0]
	}
	return m
}

func share2(e analyze.Estimate) string {
	if e.Value == nil {
		return "-"
	}
	return strings.TrimSuffix(analyze.Share(*e.Value), " %") + "%"
}

func time2(e analyze.Estimate) string {
	if e.Value == nil {
		return "-"
	}
	return latency(*e.Value / 1e9)
}

const mostRuns = 1000 // of a chart

func historyHTML(w io.Writer, h analyze.History) error {
	p := runsPage{Title: "coalmine: history", Where: visible(h.Dir), Word: "HISTORY", Tone: "plain", Grid: historyGrid(h, true),
		Why:     fmt.Sprintf("%s runs, %d files left out.", analyze.Count(uint64(len(h.Runs))), len(h.Left)),
		Caption: fmt.Sprintf("Errors and p95: baseline, canary. Each interval holds its value with probability %.4g %%, also for runs that stopped on their own evidence.", 100*(1-h.Alpha))}
	for i := range p.Grid.Rows {
		for j, cell := range p.Grid.Rows[i] {
			p.Grid.Rows[i][j] = dashed(cell)
		}
	}
	for _, left := range h.Left {
		p.Notes = append(p.Notes, visible("Left out: "+left.File+": "+left.Why))
	}
	for i, r := range h.Runs {
		p.Runs = append(p.Runs, fact{Name: fmt.Sprint("run ", i+1), Value: runLine(r)})
	}
	p.Charts = historyCharts(h)
	return p.write(w)
}

func historyCharts(h analyze.History) []chart {
	runs := h.Runs[max(0, len(h.Runs)-mostRuns):]
	first := len(h.Runs) - len(runs) + 1
	x := axis{Unit: "run"}
	of := func(id, title, caption string, y axis, scale float64, pick func(analyze.Measured) analyze.Estimate, roles ...string) chart {
		c := chart{ID: id, Title: title, Caption: caption, X: x, Y: y}
		for i := range runs {
			c.At = append(c.At, float64(first+i))
		}
		for _, role := range roles {
			middle, low, high := series{Label: role, Tone: role, Points: true}, series{Label: role + ", from", Tone: role, Dash: 2}, series{Label: role + ", to", Tone: role, Dash: 2}
			if role == "baseline" {
				middle.Dash = 1
			}
			for _, r := range runs {
				e := pick(armOf(r, role))
				middle.add(scaled(e.Value, scale))
				low.add(scaled(e.Low, scale))
				high.add(scaled(e.High, scale))
			}
			n := len(c.Series)
			c.Series = append(c.Series, middle, low, high)
			c.Bands = append(c.Bands, [2]int{n + 2, n + 1})
		}
		if _, _, ok := extent(values(c.Series)...); !ok {
			c.Empty = "No run says anything of this."
			return c
		}
		return c
	}
	share := of("share", "Split", "Share of the canary by run, the interval in which it may be, and what was configured.", axis{Unit: "%"}, 100,
		func(m analyze.Measured) analyze.Estimate { return m.Share }, "canary")
	configured := series{Label: "configured", Tone: "ink", Dash: 1}
	for _, r := range runs {
		if r.Percent > 0 && r.Percent < 100 {
			configured.add(r.Percent)
		} else {
			configured.add(gap)
		}
	}
	share.Series = append(share.Series, configured)
	charts := []chart{share,
		of("errors", "Errors", "Share of each version's answers that are errors, by run.", axis{Unit: "%", Min: ptr(0)}, 100,
			func(m analyze.Measured) analyze.Estimate { return m.Errors }, "baseline", "canary"),
		of("p95", "Latency, p95", "Response time of successes, by run.", axis{Unit: "ms", Log: true}, 1e-6,
			func(m analyze.Measured) analyze.Estimate { return m.P95 }, "baseline", "canary")}
	for i := range charts {
		if charts[i].Empty == "" {
			charts[i].tabulate("run")
		}
	}
	return charts
}

func scaled(x *float64, scale float64) float64 {
	if x == nil {
		return gap
	}
	return *x * scale
}
