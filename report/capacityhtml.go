package report

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"

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
	k := knee{Title: m.title, Unit: m.unit, X: x.ticks(figure), Y: y.ticks(m.text)}
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

// capacityHTML writes one page that needs nothing else, and no script.
func capacityHTML(w io.Writer, r analyze.Rated) error {
	title, body, err := newSearchPage(r, nil).body()
	if err != nil {
		return err
	}
	return writeDocument(w, document{Title: title, Still: true, More: kneeCSS, Body: body})
}

// LiveCapacityPage is the page of a search that goes on: it takes what LiveCapacityUpdate writes from the events beside it.
func LiveCapacityPage(w io.Writer, s analyze.Searching) error {
	title, body, err := newSearchPage(s.Rated, s.Under).body()
	if err != nil {
		return err
	}
	return writeDocument(w, document{Title: title, Live: true, More: kneeCSS, Body: body, Data: noCharts})
}

// noCharts is what the page's script is given where the pictures come with the page.
const noCharts = `{"charts":[],"moments":[],"regions":[]}`

// LiveCapacityUpdate is what has become of the page, as one line of JSON.
func LiveCapacityUpdate(s analyze.Searching) ([]byte, error) {
	title, body, err := newSearchPage(s.Rated, s.Under).body()
	if err != nil {
		return nil, err
	}
	return liveUpdate(title, body, noCharts, s.End.Reason != "")
}

// searchPage is everything on the page, as texts.
type searchPage struct {
	Tone, Word, About, Sentence, Where, Line, Under string
	Facts                                           []fact
	Knees                                           []knee
	Trials                                          grid
	Arms                                            bool
	Seems                                           bool // an end of the interval is not proven
}

func newSearchPage(r analyze.Rated, under *analyze.TrialReport) searchPage {
	p := searchPage{Word: strings.ToUpper(string(r.Result.Kind)), About: "capacity " + capacitySpan(r), Sentence: visible(r.Sentence), Tone: capacityTone(r),
		Where: visible(fmt.Sprintf("%s %s (%s)", r.Rating.Target.Method, r.Rating.Target.URL, r.Rating.Target.Where))}
	if r.End.Reason != "" {
		p.Line = CapacityLine(r)
	} else {
		p.Word, p.Tone, p.Sentence = "RUNNING", "inconclusive", ""
	}
	for _, f := range capacityFacts(r) {
		p.Facts = append(p.Facts, fact{Name: f[0], Value: visible(f[1])})
	}
	p.Seems = seemed(r) != ""
	p.Trials.Head, p.Trials.Rows = trialRows(r)
	for _, row := range p.Trials.Rows {
		for i := range row {
			row[i] = visible(row[i])
		}
	}
	if under != nil {
		p.Under = strings.TrimSpace(CapacityProgress(r, under))
		r.Trials = append(slices.Clone(r.Trials), *under)
	}
	for _, m := range kneeMeasures() {
		p.Knees = append(p.Knees, newKnee(r, m))
	}
	for _, t := range r.Trials {
		p.Arms = p.Arms || len(t.Arms) > 1
	}
	return p
}

// capacityTone is how what was found is to be taken.
func capacityTone(r analyze.Rated) string {
	kind := r.Result.Kind
	switch {
	case r.Rejected():
		return "reject"
	case r.Asked == analyze.Pass, r.Rating.AtLeast == 0 && !r.Open() && (kind == capacity.Found || kind == capacity.AtLeast || kind == capacity.Quota):
		return "promote"
	}
	return "inconclusive"
}

func (p searchPage) body() (title string, body template.HTML, err error) {
	var out bytes.Buffer
	err = capacityBody.Execute(&out, p)
	return p.Word + " " + p.About, template.HTML(out.String()), err
}

const kneeCSS = `
.knee svg { width: 100%; height: auto; font-size: 13px; fill: var(--ink); } .knee figcaption, .knee .tick { color: var(--soft); fill: var(--soft); }
.knee .grid { stroke: var(--line); } .knee .limit { stroke: var(--fail); stroke-dasharray: 6 4; } .knee .bound { stroke: var(--ink); } .knee .band { fill: var(--pass); opacity: .2; }
.knee .stage { stroke: var(--muted); fill: var(--muted); } .knee .baseline { stroke: var(--baseline); fill: var(--baseline); } .knee .canary { stroke: var(--canary); fill: var(--canary); }
.knee .hollow { fill: none; } .knee .cross { fill: none; stroke-width: 2.2; }
.trials :is(th, td):is(:nth-child(2), :nth-child(5), :nth-child(9)) { text-align: left; }
`

var capacityBody = template.Must(template.New("capacity").Parse(`<header id="verdict" class="{{.Tone}}">
<p class="where">{{.Where}}</p>
<h1><strong>{{.Word}}</strong> <span>{{.About}}</span></h1>
{{- if .Sentence}}
<p class="why">{{.Sentence}}</p>
{{- end}}
{{- if .Under}}
<p class="why">{{.Under}}</p>
{{- end}}
</header>
<section id="facts"><dl class="details">{{range .Facts}}<div><dt>{{.Name}}</dt><dd>{{.Value}}</dd></div>{{end}}</dl></section>
<section id="knee" class="knee"><h2>The knee</h2>
<p class="caption">Each mark is a trial: a dot held, a cross failed, a ring is not decided, a small dot says nothing of the target{{if .Arms}}; grey is the whole stage, blue the baseline, orange the canary{{end}}. Rates are the stage's. Both axes are logarithmic. The shaded interval {{if .Seems}}seems to hold{{else}}holds{{end}} the capacity.</p>
{{range .Knees}}<figure><figcaption>{{.Title}} ({{.Unit}}) by requests per second</figcaption>
<svg viewBox="0 0 1060 340" role="img" aria-label="{{.Title}} of each trial by its rate; the table below has the numbers">
{{with .Band}}<rect class="band" x="{{printf "%.1f" .From}}" y="16" width="{{printf "%.1f" .Wide}}" height="284"></rect>{{end}}
{{range .X}}<line class="grid" x1="{{printf "%.1f" .At}}" x2="{{printf "%.1f" .At}}" y1="16" y2="300"></line><text class="tick" x="{{printf "%.1f" .At}}" y="318" text-anchor="middle">{{.Text}}</text>{{end}}
{{range .Y}}<line class="grid" x1="64" x2="1040" y1="{{printf "%.1f" .At}}" y2="{{printf "%.1f" .At}}"></line><text class="tick" x="58" y="{{printf "%.1f" .At}}" dy="4" text-anchor="end">{{.Text}}</text>{{end}}
{{range .Bounds}}<line class="bound" x1="{{printf "%.1f" .At}}" x2="{{printf "%.1f" .At}}" y1="16" y2="300"><title>{{.Label}}</title></line>{{end}}
{{range .Lines}}<line class="limit" x1="64" x2="1040" y1="{{printf "%.1f" .At}}" y2="{{printf "%.1f" .At}}"></line><text x="70" y="{{printf "%.1f" .At}}" dy="-5">{{.Label}}</text>{{end}}
{{range .Marks}}{{if .Cross}}<path class="{{.Arm}} cross" transform="translate({{printf "%.1f" .X}} {{printf "%.1f" .Y}})" d="M-5 -5L5 5M-5 5L5 -5"><title>{{.Hint}}</title></path>{{else}}<circle class="{{.Arm}}{{if .Hollow}} hollow{{end}}" cx="{{printf "%.1f" .X}}" cy="{{printf "%.1f" .Y}}" r="{{if .Small}}2{{else}}4.5{{end}}"><title>{{.Hint}}</title></circle>{{end}}
{{end}}</svg></figure>{{end}}
</section>
<section id="trials" class="trials"><h2>Trials</h2>
{{- if .Trials.Rows}}
<div class="scroll" tabindex="0" role="region" aria-label="Trials, a table"><table><thead><tr>{{range .Trials.Head}}<th scope="col">{{.}}</th>{{end}}</tr></thead><tbody>{{range .Trials.Rows}}
<tr>{{range .}}<td>{{.}}</td>{{end}}</tr>{{end}}
</tbody></table></div>
<p class="caption">(pass) and (fail): not decided within the trial's time, and leaning so. Times are those that were judged.</p>
{{- else}}
<p class="empty">No trial is over yet.</p>
{{- end}}
{{- if .Line}}
<p class="caption">{{.Line}}</p>
{{- end}}
</section>
`))
