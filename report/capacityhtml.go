package report

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"math"

	"coalmine/analyze"
	"coalmine/analyze/capacity"
)

// knee is the picture: rate against p50, p99 and errors of each arm, a mark for each trial. It is drawn here, so that the
// page needs no script.
type knee struct {
	Title, Unit string
	Marks       []trialMark
	Lines       []kneeRule // across: objectives
	Bounds      []kneeRule // upright: the interval
	X, Y        []kneeTick
	Band        *kneeBand
}

type (
	trialMark struct {
		X, Y                 float64
		Arm, Outcome, Hint   string
		Hollow, Small, Cross bool
	}
	kneeRule struct {
		At    float64
		Label string
	}
	kneeTick struct {
		At   float64
		Text string
	}
	kneeBand struct{ From, Wide float64 }
)

const (
	kneeLeft, kneeRight, kneeTop, kneeBottom = 64.0, 1040.0, 16.0, 300.0
)

// scale maps logarithmically, which is how rates are searched and latencies spread.
type scale struct{ low, high, from, to float64 }

func (s scale) at(x float64) float64 {
	x = min(max(x, s.low), s.high)
	return s.from + (s.to-s.from)*(math.Log(x)-math.Log(s.low))/(math.Log(s.high)-math.Log(s.low))
}

// ticks are 1, 2 and 5 times the powers of ten.
func (s scale) ticks(text func(float64) string) (all []kneeTick) {
	for power := math.Pow(10, math.Floor(math.Log10(s.low))); power <= s.high; power *= 10 {
		for _, n := range []float64{1, 2, 5} {
			if x := n * power; x >= s.low && x <= s.high {
				all = append(all, kneeTick{s.at(x), text(x)})
			}
		}
	}
	return all
}

func newScale(values []float64, from, to float64) scale {
	low, high := math.Inf(1), 0.0
	for _, v := range values {
		if v > 0 {
			low, high = min(low, v), max(high, v)
		}
	}
	if high == 0 {
		low, high = 1, 10
	}
	return scale{low / 1.15, high * 1.15, from, to}
}

// measure is one of the pictures: what of an arm it shows, 0 for nothing.
type measure struct {
	title, unit string
	of          func(analyze.TrialArm) float64
	limit       func(analyze.Objective) (float64, bool)
	text        func(float64) string
}

func kneeMeasures() []measure {
	bound := func(q analyze.Quantile) func(analyze.Objective) (float64, bool) {
		return func(o analyze.Objective) (float64, bool) {
			return float64(o.Max) / 1e6, o.Errors == 0 && o.Quantile == q
		}
	}
	milli := func(x float64) string { return latency(x / 1000) }
	percent := func(x float64) string { return fmt.Sprintf("%.4g %%", x) }
	return []measure{
		{"p99", "response time", func(a analyze.TrialArm) float64 { return float64(a.P99) / 1e6 }, bound(0.99), milli},
		{"p50", "response time", func(a analyze.TrialArm) float64 { return float64(a.P50) / 1e6 }, bound(0.5), milli},
		{"errors", "share of answers", func(a analyze.TrialArm) float64 { return 100 * float64(a.Errors) / float64(max(a.Hits, 1)) },
			func(o analyze.Objective) (float64, bool) { return 100 * float64(o.Errors), o.Errors > 0 }, percent},
	}
}

func newKnee(r analyze.Rated, m measure) knee {
	var rates, values []float64
	for _, t := range r.Trials {
		rates = append(rates, t.Rate)
		for _, a := range t.Arms {
			values = append(values, m.of(a))
		}
	}
	for _, o := range r.Rating.Objectives {
		if limit, ok := m.limit(o); ok {
			values = append(values, limit)
		}
	}
	x, y := newScale(rates, kneeLeft, kneeRight), newScale(values, kneeBottom, kneeTop)
	k := knee{Title: m.title, Unit: m.unit, X: x.ticks(func(v float64) string { return fmt.Sprintf("%.4g", v) }), Y: y.ticks(m.text)}
	for _, o := range r.Rating.Objectives {
		if limit, ok := m.limit(o); ok {
			k.Lines = append(k.Lines, kneeRule{y.at(limit), o.String()})
		}
	}
	lower, upper := r.Result.Lower, r.Result.Upper
	if lower != nil && upper != nil {
		k.Band = &kneeBand{x.at(lower.Rate), max(x.at(upper.Rate)-x.at(lower.Rate), 1)}
	}
	for _, b := range []*capacity.Bound{lower, upper} {
		if b != nil {
			k.Bounds = append(k.Bounds, kneeRule{x.at(b.Rate), analyze.PerSecondOf(b.Rate)})
		}
	}
	for i, t := range r.Trials {
		for _, a := range t.Arms {
			if a.Hits == 0 || a.Name == "unattributed" {
				continue
			}
			v := m.of(a)
			k.Marks = append(k.Marks, trialMark{
				X: x.at(t.Rate), Y: y.at(v), Arm: armClass(r, a.Name), Outcome: t.Outcome.String(),
				Hint:   visible(fmt.Sprintf("trial %d, %s at %s: %s; %s %s %s", i+1, t.Purpose, analyze.PerSecondOf(t.Rate), t.Outcome, a.Name, m.title, m.text(v))),
				Hollow: t.Outcome == capacity.Undecided, Cross: t.Outcome == capacity.Fail || t.Outcome == capacity.Limited, Small: t.Outcome == capacity.Invalid})
		}
	}
	return k
}

func armClass(r analyze.Rated, name string) string {
	switch name {
	case r.Rating.Target.Canary:
		return "canary"
	case r.Rating.Target.Baseline:
		return "baseline"
	}
	return "stage"
}

// capacityHTML writes one page that needs nothing else.
func capacityHTML(w io.Writer, r analyze.Rated) error {
	header, rows := trialRows(r)
	p := struct {
		Title, Sentence, Where, Line string
		Facts                        [][2]string
		Knees                        []knee
		Header                       []string
		Rows                         [][]string
		Arms                         bool
	}{Title: "Capacity " + capacitySpan(r), Sentence: r.Sentence, Line: CapacityLine(r), Facts: capacityFacts(r), Header: header, Rows: rows,
		Where: visible(fmt.Sprintf("%s %s (%s)", r.Rating.Target.Method, r.Rating.Target.URL, r.Rating.Target.Where))}
	for _, m := range kneeMeasures() {
		p.Knees = append(p.Knees, newKnee(r, m))
	}
	for _, t := range r.Trials {
		p.Arms = p.Arms || len(t.Arms) > 1
	}
	var out bytes.Buffer
	if err := capacityPage.Execute(&out, p); err != nil {
		return err
	}
	_, err := w.Write(out.Bytes())
	return err
}

var capacityPage = template.Must(template.New("capacity").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{.Title}}</title>
<style>
:root { color-scheme: light dark; --paper: #fff; --ink: #16202a; --soft: #55616d; --line: #d9dee4; --stage: #55616d; --baseline: #0072b2; --canary: #c14f00; --fail: #b3261e; --band: #00785a33 }
@media (prefers-color-scheme: dark) { :root { --paper: #12171d; --ink: #e8edf2; --soft: #a3afba; --line: #323c47; --stage: #a3afba; --baseline: #56b4e9; --canary: #f5a623; --fail: #ff8b6b; --band: #3ecf9f33 } }
html { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif } body { max-width: 1120px; margin: 0 auto; padding: 20px }
figure { margin: 1.6rem 0 } figcaption, .soft { color: var(--soft) } svg { width: 100%; height: auto; font: 13px system-ui, sans-serif; fill: var(--ink) }
.grid { stroke: var(--line) } .limit { stroke: var(--fail); stroke-dasharray: 6 4 } .bound { stroke: var(--ink) } .band { fill: var(--band) }
.stage { stroke: var(--stage); fill: var(--stage) } .baseline { stroke: var(--baseline); fill: var(--baseline) } .canary { stroke: var(--canary); fill: var(--canary) }
.hollow { fill: none } .cross { fill: none; stroke-width: 2.2 } .soft-text { fill: var(--soft) }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums } th, td { text-align: right; padding: .2rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top } th:nth-child(2), td:nth-child(2), th:nth-child(5), td:nth-child(5), th:last-child, td:last-child { text-align: left }
dt { font-weight: 600; float: left; clear: left; margin-right: .6rem } dd { margin: 0 } .wide { overflow-x: auto }
</style></head><body>
<h1>{{.Title}}</h1><p>{{.Sentence}}</p><p class="soft">{{.Where}}</p>
<dl>{{range .Facts}}<dt>{{index . 0}}</dt><dd>{{index . 1}}</dd>{{end}}</dl>
<h2>The knee</h2>
<p class="soft">Each mark is a trial: a dot held, a cross failed, a ring was not decided{{if .Arms}}; grey is the whole stage, blue the baseline, orange the canary{{end}}. Rates are the stage's. Both axes are logarithmic. The shaded interval holds the capacity.</p>
{{range .Knees}}<figure><figcaption>{{.Title}} ({{.Unit}}) by requests per second</figcaption>
<svg viewBox="0 0 1060 340" role="img" aria-label="{{.Title}} of each trial by its rate; the table below has the numbers">
{{with .Band}}<rect class="band" x="{{printf "%.1f" .From}}" y="16" width="{{printf "%.1f" .Wide}}" height="284"></rect>{{end}}
{{range .X}}<line class="grid" x1="{{printf "%.1f" .At}}" x2="{{printf "%.1f" .At}}" y1="16" y2="300"></line><text class="soft-text" x="{{printf "%.1f" .At}}" y="318" text-anchor="middle">{{.Text}}</text>{{end}}
{{range .Y}}<line class="grid" x1="64" x2="1040" y1="{{printf "%.1f" .At}}" y2="{{printf "%.1f" .At}}"></line><text class="soft-text" x="58" y="{{printf "%.1f" .At}}" dy="4" text-anchor="end">{{.Text}}</text>{{end}}
{{range .Bounds}}<line class="bound" x1="{{printf "%.1f" .At}}" x2="{{printf "%.1f" .At}}" y1="16" y2="300"><title>{{.Label}}</title></line>{{end}}
{{range .Lines}}<line class="limit" x1="64" x2="1040" y1="{{printf "%.1f" .At}}" y2="{{printf "%.1f" .At}}"></line><text x="70" y="{{printf "%.1f" .At}}" dy="-5">{{.Label}}</text>{{end}}
{{range .Marks}}{{if .Cross}}<path class="{{.Arm}} cross" transform="translate({{printf "%.1f" .X}} {{printf "%.1f" .Y}})" d="M-5 -5L5 5M-5 5L5 -5"><title>{{.Hint}}</title></path>{{else}}<circle class="{{.Arm}}{{if .Hollow}} hollow{{end}}" cx="{{printf "%.1f" .X}}" cy="{{printf "%.1f" .Y}}" r="{{if .Small}}2{{else}}4.5{{end}}"><title>{{.Hint}}</title></circle>{{end}}
{{end}}</svg></figure>{{end}}
<h2>Trials</h2><div class="wide"><table><thead><tr>{{range .Header}}<th scope="col">{{.}}</th>{{end}}</tr></thead><tbody>{{range .Rows}}<tr>{{range .}}<td>{{.}}</td>{{end}}</tr>{{end}}</tbody></table></div>
<p class="soft">(pass) and (fail): not decided within the trial's time, and leaning so. {{.Line}}</p>
</body></html>
`))
