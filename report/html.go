package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tsenart/vegeta/v12/lib/plot"

	"coalmine/analyze"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

// assets are the page's scripts and styles: uPlot as vegeta's module brings it, and our own.
type assets struct {
	Style  template.CSS
	Chart  template.JS
	Script template.JS
	Policy string // the content security policy
}

var loadAssets = sync.OnceValues(func() (a assets, err error) {
	style, err := asset("uPlot.min.css")
	if err != nil {
		return a, err
	}
	chart, err := asset("uPlot.min.js")
	if err != nil {
		return a, err
	}
	a.Style, a.Chart, a.Script = template.CSS(style+"\n"+pageCSS), template.JS(chart), template.JS(pageJS)
	return a, nil
})

// policy lets nothing run but these, and nothing be loaded.
func (a assets) policy() string {
	scripts := "'none'"
	if a.Script != "" {
		scripts = fmt.Sprintf("'%s' '%s'", digest(string(a.Chart)), digest(string(a.Script)))
	}
	return fmt.Sprintf("default-src 'none'; img-src data:; style-src '%s'; script-src %s; connect-src 'self'; base-uri 'none'; form-action 'none'",
		digest(string(a.Style)), scripts)
}

func asset(name string) (string, error) {
	file, err := plot.Assets.Open(name)
	if err != nil {
		return "", fmt.Errorf("read %s from vegeta's module: %w", name, err)
	}
	defer file.Close()
	data, err := io.ReadAll(file)
	return string(data), err
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// document is a page: what surrounds it, and what is in it.
type document struct {
	assets
	Title string
	Live  bool
	Still bool         // it needs no script
	More  template.CSS // of its own
	Body  template.HTML
	Data  template.JS
}

// drawn is what the page's script is given.
type drawn struct {
	Charts  []chart  `json:"charts"`
	Moments []moment `json:"moments"`
	Regions []region `json:"regions"`
}

// HTML writes one page that needs nothing else: no network, no other file.
func HTML(w io.Writer, a analyze.Analysis) error {
	body, data, err := htmlParts(newSheet(a))
	if err != nil {
		return err
	}
	return writeDocument(w, document{Title: htmlTitle(a), Body: body, Data: data})
}

// LivePage is HTML for a run that goes on: the page takes what LiveUpdate writes from the events beside it.
func LivePage(w io.Writer, a analyze.Analysis) error {
	s := liveSheet(a)
	body, data, err := htmlParts(s)
	if err != nil {
		return err
	}
	return writeDocument(w, document{Title: s.Word + " " + s.About, Live: true, Body: body, Data: data})
}

// LiveUpdate is what has become of the page, as one line of JSON.
func LiveUpdate(a analyze.Analysis) ([]byte, error) {
	s := liveSheet(a)
	body, data, err := htmlParts(s)
	if err != nil {
		return nil, err
	}
	return liveUpdate(s.Word+" "+s.About, body, data, a.End.Reason != "")
}

func liveUpdate(title string, body template.HTML, data template.JS, ended bool) ([]byte, error) {
	return json.Marshal(struct {
		Title string          `json:"title"`
		Body  string          `json:"body"`
		Data  json.RawMessage `json:"data"`
		Ended bool            `json:"ended"`
	}{title, string(body), json.RawMessage(data), ended})
}

func writeDocument(w io.Writer, d document) (err error) {
	if d.assets, err = loadAssets(); err != nil {
		return err
	}
	if d.Style += d.More; d.Still {
		d.Chart, d.Script = "", ""
	}
	d.Policy = d.policy()
	var out bytes.Buffer // a page that stops in the middle looks like a whole one
	if err := pages.ExecuteTemplate(&out, "document", d); err != nil {
		return err
	}
	_, err = w.Write(out.Bytes())
	return err
}

var pages = template.Must(template.New("page").Funcs(template.FuncMap{
	"count": analyze.Count, "latency": func(d time.Duration) string { return latency(d.Seconds()) }, "visible": visible, "label": label,
}).Parse(pageHTML))

// htmlParts are the page's body and the data of its charts.
func htmlParts(p sheet) (template.HTML, template.JS, error) {
	var body bytes.Buffer
	if err := pages.ExecuteTemplate(&body, "body", p); err != nil {
		return "", "", err
	}
	charts := []chart{}
	for _, c := range append(slices.Clone(p.Charts), p.Evidence...) {
		if c.Empty == "" {
			charts = append(charts, c)
		}
	}
	data, err := json.Marshal(drawn{charts, p.Moments, p.Regions}) // <, > and & come out as escapes
	return template.HTML(body.String()), template.JS(data), err
}

func htmlTitle(a analyze.Analysis) string {
	if blank(a) {
		return a.Conclusion.Verdict.String()
	}
	if a.Header.Policy == nil {
		return "coalmine " + label(a.Header.Command)
	}
	if a.Header.Target.Alone() {
		return fmt.Sprintf("%s %s alone", a.Conclusion.Verdict, name(a.Header.Target.Canary))
	}
	return fmt.Sprintf("%s %s over %s", a.Conclusion.Verdict, name(a.Header.Target.Canary), name(a.Header.Target.Baseline))
}

// sheet is everything on the page, as texts.
type sheet struct {
	analyze.Analysis
	Blank    bool   // there is a reason to show, and nothing else
	Tone     string // promote, reject or inconclusive
	Word     string
	About    string
	Why      string
	Ended    string
	Facts    []fact
	Key      *gauge // of the check that decided
	Told     bool   // Why says what it says
	Checks   []gauge
	Charts   []chart
	Evidence []chart
	Moments  []moment
	Regions  []region
	First    grid
	Sides    grid
	Targets  grid
	Changes  []fact
	Arms     grid
	Phases   grid
	Details  []fact
	Policy   []fact
}

type fact struct{ Name, Value, More string }

// gauge is a check with its numbers drawn against the limit.
type gauge struct {
	analyze.Check
	Seen, Proven, Allowed, Odds string
	Has                         bool  // something to draw
	Limit                       []int // positions, 0 to 200
	From, To, At                int
	Off, Below                  bool // the estimate is beyond the picture, to the left
}

func newSheet(a analyze.Analysis) sheet {
	if blank(a) {
		s := sheet{Analysis: a, Blank: true, Moments: []moment{}, Regions: []region{}}
		s.headline(a)
		return s
	}
	a.Checks = finite(a.Checks)
	d := draw(a)
	s := sheet{Analysis: a, Charts: d.charts(), Evidence: d.evidence(), Moments: d.marks(), Regions: d.regions()}
	s.headline(a)
	for _, c := range a.Checks {
		g := newGauge(c)
		if !silent(c) {
			s.Checks = append(s.Checks, g)
		}
		if c.Name == a.Conclusion.Culprit && s.Key == nil {
			s.Key = &g
			s.Told = strings.Contains(s.Why, g.Sentence)
		}
	}
	s.Facts = facts(a)
	s.First, s.Sides, s.Targets, s.Arms, s.Phases = armsAtOnce(a), sidesGrid(a), targetsGrid(a), armsGrid(a), phasesGrid(a)
	for _, c := range changes(a) {
		s.Changes = append(s.Changes, fact{Name: analyze.Short(c.at), Value: visible(c.what)})
	}
	s.Details, s.Policy = details(a), policyFacts(a)
	return s
}

func (s *sheet) headline(a analyze.Analysis) {
	t := a.Header.Target
	s.Tone = map[analyze.Verdict]string{analyze.Promote: "promote", analyze.Verified: "promote", analyze.Reject: "reject", analyze.Refuted: "reject"}[a.Conclusion.Verdict]
	s.Word = a.Conclusion.Verdict.String()
	s.About = fmt.Sprintf("version %s over version %s", label(t.Canary), label(t.Baseline))
	s.Why = visible(strings.TrimSpace(strings.TrimPrefix(a.Conclusion.Sentence, s.Word)))
	s.Why = capitalised(strings.TrimLeft(s.Why, ".: "))
	if t.Alone() {
		s.About = "version " + label(t.Canary) + " alone"
	}
	switch {
	case blank(a):
		s.About = "the run file cannot be read"
	case a.Header.Policy == nil:
		s.Word, s.About, s.Why, s.Tone = "TRAFFIC", "nobody judged it", capitalised(answers(a))+".", ""
	}
	if s.Tone == "" {
		s.Tone = "inconclusive"
	}
	switch a.End.Reason {
	case "interrupted":
		s.Ended = "The run was interrupted."
	case "crashed":
		s.Ended = "The run file has no end: the run crashed, or still goes on."
	case "error":
		s.Ended = "The run broke off: " + visible(a.End.Error)
	case "unreadable":
		s.Ended = visible(ending(a))
	}
}

// liveSheet is that of a run that goes on: it has no verdict while nothing is decided.
func liveSheet(a analyze.Analysis) sheet {
	during := slices.ContainsFunc(a.Phases, func(p analyze.Phase) bool { return p.Name == analyze.During })
	if a.End.Reason != "" || a.Conclusion.Verdict != analyze.Inconclusive || during && a.Conclusion.At > 0 {
		return newSheet(a)
	}
	a.Conclusion = analyze.Conclusion{} // what it would be if the run ended now
	s := newSheet(a)
	s.Word, s.Tone, s.Key, s.Ended = "RUNNING", "inconclusive", nil, ""
	switch passed := passes(a.Checks); {
	case len(a.Phases) == 0:
		s.Why = "No traffic yet."
	case a.Header.Policy == nil:
	case a.Propagation.Judged == nil:
		s.Why = "Phase " + label(a.Phases[len(a.Phases)-1].Name) + ". Nothing is judged yet."
	default:
		s.Why = fmt.Sprintf("Phase %s. %d of %d checks pass so far; no verdict yet.", label(a.Phases[len(a.Phases)-1].Name), passed, len(a.Checks))
	}
	return s
}

func passes(checks []analyze.Check) (n int) {
	for _, c := range checks {
		if c.Outcome == analyze.Pass {
			n++
		}
	}
	return n
}

func capitalised(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

const gaugeWidth = 200

func newGauge(c analyze.Check) gauge {
	row := checkRow(c)
	g := gauge{Check: c, Seen: dashed(row[2]), Proven: dashed(row[3]), Allowed: dashed(row[4]), Odds: dashed(row[5])}
	g.Name, g.Sentence = label(c.Name), visible(c.Sentence)
	if c.Limit.High == nil || c.Estimate == nil || c.Unit == analyze.UnitCount {
		return g
	}
	low, high := min(0, *c.Estimate), 2**c.Limit.High
	if c.Limit.Low != nil {
		width := *c.Limit.High - *c.Limit.Low
		low, high = *c.Limit.Low-width, *c.Limit.High+width
	} else if c.Unit == analyze.UnitPoints || c.Unit == analyze.UnitRatio {
		low = -*c.Limit.High
	}
	if !(high > low) || math.IsInf(high-low, 0) {
		return g
	}
	place := func(x float64) int { return int(math.Round(gaugeWidth * max(0, min(1, (x-low)/(high-low))))) }
	g.Has, g.At, g.Below = true, place(*c.Estimate), *c.Estimate < low
	g.Off = g.Below || *c.Estimate > high
	if c.Limit.Low != nil {
		g.Limit = append(g.Limit, place(*c.Limit.Low))
	}
	g.Limit = append(g.Limit, place(*c.Limit.High))
	g.From, g.To = g.At, g.At
	if c.Proven.Low != nil {
		g.From = place(*c.Proven.Low)
	} else if c.Proven.High != nil {
		g.From = 0
	}
	if c.Proven.High != nil {
		g.To = place(*c.Proven.High)
	} else if c.Proven.Low != nil {
		g.To = gaugeWidth
	}
	return g
}

// finite leaves out numbers that are none.
func finite(checks []analyze.Check) []analyze.Check {
	checks = slices.Clone(checks)
	for i := range checks {
		c := &checks[i]
		for _, x := range []**float64{&c.Estimate, &c.Proven.Low, &c.Proven.High, &c.Limit.Low, &c.Limit.High} {
			if *x != nil && (math.IsNaN(**x) || math.IsInf(**x, 0)) {
				*x = nil
			}
		}
		if math.IsNaN(c.Evidence) {
			c.Evidence, c.Needed = 0, 0
		}
	}
	return checks
}

// Wide is the length of the bar of what is possible.
func (g gauge) Wide() int { return max(g.To-g.From, 0) }

// dashed writes what the table report writes, as a page can.
func dashed(s string) string {
	if s == "-" {
		return "–"
	}
	return strings.NewReplacer("<= ", "≤ ", ">= ", "≥ ").Replace(s)
}

// facts are the numbers of the first screen.
func facts(a analyze.Analysis) (out []fact) {
	rate := "as fast as the connections allow"
	if a.Header.Plan.Rate > 0 {
		rate = perSecond(a.Header.Plan.Rate)
	}
	out = append(out, fact{"requests, all phases", analyze.Count(a.Requests()), rate})
	started := ""
	if !a.Header.Started.IsZero() {
		started = "from " + a.Header.Started.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	out = append(out, fact{"time", elapsed(a), started})
	if a.Header.Policy == nil || a.Header.Target.Alone() {
		return out
	}
	done, after := a.Action, ""
	if done == "" || done == "none" {
		done = "nothing"
	}
	if a.Propagation.Acted != nil {
		after = "traffic after it: " + a.After.String()
	}
	return append(out, fact{"what was done", done, after})
}

func perSecond(rate float64) string {
	if rate == math.Trunc(rate) && rate < 1e15 {
		return analyze.Count(uint64(rate)) + " a second"
	}
	return fmt.Sprintf("%.4g a second", rate)
}

// armsAtOnce is the first screen's table: who answered how.
func armsAtOnce(a analyze.Analysis) (g grid) {
	p := a.Main()
	if p == nil {
		return g
	}
	g.Head = []string{"version", "answers", "share", "configured", "errors", "p50", "p95", "p99"}
	for i, arm := range p.Arms {
		if i == 4 {
			g.Note = "More versions answered: see the table of phases."
			break
		}
		who, share, configured, rate := label(arm.Name), "–", "–", "–"
		if arm.Role != arm.Name {
			who += " " + arm.Role
		}
		if arm.Hits > 0 {
			share, rate = analyze.Share(arm.Share), analyze.Share(float64(arm.Errors)/float64(arm.Hits))
		}
		if arm.Configured != nil {
			configured = analyze.Share(*arm.Configured)
		}
		g.Rows = append(g.Rows, []string{who, analyze.Count(arm.Hits), share, configured, rate,
			dashed(latency(arm.P50.Seconds())), dashed(latency(arm.P95.Seconds())), dashed(latency(arm.P99.Seconds()))})
	}
	return g
}

// sidesGrid has the phases of the tested stage side by side.
func sidesGrid(a analyze.Analysis) (g grid) {
	g.Head = []string{"version", ""}
	var phases []analyze.Phase
	var names []string
	for _, p := range a.Phases {
		if strings.Contains(p.Name, "/") || len(phases) == 6 {
			continue
		}
		phases = append(phases, p)
		g.Head = append(g.Head, label(p.Name))
		for _, arm := range p.Arms {
			if !slices.Contains(names, arm.Name) && len(names) < mostArms {
				names = append(names, arm.Name)
			}
		}
	}
	if len(phases) < 2 {
		return grid{}
	}
	for _, name := range names {
		for _, what := range []string{"answers", "share", "errors", "p50", "p95", "p99"} {
			row := []string{label(name), what}
			for _, p := range phases {
				cell := "–"
				for _, arm := range p.Arms {
					if arm.Name == name && arm.Hits > 0 {
						cell = sideOf(arm, what)
					}
				}
				row = append(row, cell)
			}
			g.Rows = append(g.Rows, row)
		}
	}
	return g
}

func sideOf(arm analyze.Arm, what string) string {
	switch what {
	case "answers":
		return analyze.Count(arm.Hits)
	case "share":
		return analyze.Share(arm.Share)
	case "errors":
		return analyze.Share(float64(arm.Errors) / float64(arm.Hits))
	}
	return dashed(latency(map[string]time.Duration{"p50": arm.P50, "p95": arm.P95, "p99": arm.P99}[what].Seconds()))
}

// targetsGrid has each of several targets, in the phase that the run is about.
func targetsGrid(a analyze.Analysis) (g grid) {
	p := a.Main()
	if p == nil {
		return g
	}
	g.Head = []string{"target", "version", "answers", "unanswered", "errors", "p50", "p95", "p99"}
	for _, target := range p.Targets {
		for _, arm := range target.Arms {
			if len(g.Rows) == 100 {
				g.Note = "The first 100 rows."
				return g
			}
			g.Rows = append(g.Rows, []string{label(target.Name), label(arm.Name), analyze.Count(arm.Hits), analyze.Count(target.Pending), analyze.Count(arm.Errors),
				dashed(latency(arm.P50.Seconds())), dashed(latency(arm.P95.Seconds())), dashed(latency(arm.P99.Seconds()))})
		}
	}
	return g
}

func armsGrid(a analyze.Analysis) (g grid) {
	g.Head = []string{"phase", "version", "role", "answers", "share", "possible", "errors", "by class", "p50", "p95", "p99"}
	for _, p := range a.Phases {
		for _, arm := range p.Arms {
			if len(g.Rows) == 100 {
				g.Note = "The first 100 rows."
				return g
			}
			share, possible := "–", "–"
			if arm.Hits > 0 {
				share = analyze.Share(arm.Share)
			}
			if arm.ShareHigh > 0 {
				possible = fmt.Sprintf("%.1f–%.1f %%", arm.ShareLow*100, arm.ShareHigh*100)
			}
			classes := pairs(arm.Classes)
			if len(arm.Causes) > 0 {
				classes = pairs(arm.Causes)
			}
			g.Rows = append(g.Rows, []string{label(p.Name), label(arm.Name), arm.Role, analyze.Count(arm.Hits), share, possible, analyze.Count(arm.Errors),
				visible(classes), dashed(latency(arm.P50.Seconds())), dashed(latency(arm.P95.Seconds())), dashed(latency(arm.P99.Seconds()))})
		}
	}
	return g
}

func phasesGrid(a analyze.Analysis) (g grid) {
	g.Head = []string{"phase", "stage", "expected", "outcome", "from", "for", "due", "answered", "unanswered", "sent late, p99", "in words"}
	for _, p := range a.Phases {
		if len(g.Rows) == 100 {
			g.Note = "The first 100 rows."
			return g
		}
		outcome := p.Outcome.String()
		if a.Header.Policy == nil {
			outcome = "–"
		}
		g.Rows = append(g.Rows, []string{label(p.Name), dashed(orDash(p.Stage)), orDash(p.Expect), outcome, analyze.Short(p.Start), analyze.Short(p.Length),
			analyze.Count(p.Due), analyze.Count(p.Hits), analyze.Count(p.Pending), analyze.Short(p.Lateness.WakeP99), visible(p.Sentence)})
	}
	return g
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return label(s)
}

// details are what a run was.
func details(a analyze.Analysis) (out []fact) {
	h, t := a.Header, a.Header.Target
	add := func(name, value string) {
		if value != "" {
			out = append(out, fact{Name: name, Value: visible(value)})
		}
	}
	add("where", t.Where)
	add("request", strings.TrimSpace(t.Method+" "+t.URL))
	add("covers", t.Covers)
	add("versions told apart by", t.Classify)
	add("canary's share", fmt.Sprintf("%.4g %%", t.Percent))
	add("scenario", h.Name)
	add("command", h.Command)
	if !h.Started.IsZero() {
		add("started", h.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	add("timeout of a request", analyze.Short(h.Plan.Timeout))
	if h.Plan.Connections > 0 {
		add("connections", analyze.Count(uint64(h.Plan.Connections)))
	}
	if h.Plan.Bake > 0 {
		add("bake", analyze.Short(h.Plan.Bake))
	}
	add("stage before", stageBefore(h.Stage))
	for i, e := range a.Events {
		if deployment := e.Detail["deployment"]; deployment != "" && i < 100 {
			add(e.Name, "deployment "+deployment)
		}
	}
	add("what was done", a.Action)
	add("tool", h.Tool)
	add("run file", h.Format)
	return out
}

// stageBefore is the stage as AWS had it, in its own words.
func stageBefore(raw json.RawMessage) string {
	var out bytes.Buffer
	if len(raw) == 0 || len(raw) > 4096 || json.Compact(&out, raw) != nil {
		return ""
	}
	return out.String()
}

func policyFacts(a analyze.Analysis) (out []fact) {
	if a.Header.Policy == nil {
		return nil
	}
	raw, err := json.Marshal(a.Header.Policy)
	if err != nil {
		return nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return nil
	}
	for _, name := range sortedKeys(fields) {
		value := strings.NewReplacer(`"`, "", "{", "", "}", "", ":", " ", ",", ", ").Replace(string(fields[name]))
		out = append(out, fact{Name: name, Value: visible(value)})
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
