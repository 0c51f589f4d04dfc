package report_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"coalmine/analyze"
	"coalmine/analyze/simulated"
	"coalmine/attack"
	"coalmine/report"
)

var update = flag.Bool("update", false, "write the golden files anew")

// told is a run told to a judge: before, during and after, as far as it gets.
type told struct {
	seed    uint64
	canary  func(*simulated.Canary)
	window  func(*attack.Window)
	most    time.Duration // of the during phase
	names   [2]string
	attack  bool // no policy: nothing is judged
	nothing bool // no window at all
	after   bool
	targets bool // two, which take turns window by window
	end     analyze.End
	file    bool // read from a file without an end
}

func (r told) analysis(t testing.TB) analyze.Analysis {
	t.Helper()
	a, _, err := analyze.Replay(bytes.NewReader(r.run(t)))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// run is the run file.
func (r told) run(t testing.TB) []byte {
	t.Helper()
	if r.names[0] == "" {
		r.names = [2]string{"1", "2"}
	}
	p := analyze.DefaultPolicy(true).Complete(0.5)
	p.Settle, p.MinDuration = analyze.Duration(3*time.Second), analyze.Duration(5*time.Second)
	h := analyze.Header{Format: analyze.Format, Tool: "coalmine/test", Command: "run", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Policy: &p, Budget: 60_000,
		Target: analyze.Target{Where: "NOT AWS: http://127.0.0.1:1", Method: "GET", URL: "http://127.0.0.1:1/prod/products", Baseline: r.names[0], Canary: r.names[1],
			Percent: 50, Covers: "1 of 23 methods (GET /products)"},
		Plan: analyze.Plan{Rate: 1000, Connections: 1000, Timeout: 10 * time.Second}}
	phase := analyze.During
	if r.attack {
		h.Policy, h.Command, h.Target.Baseline, h.Target.Canary, phase = nil, "attack", "", "", analyze.Attack
	}
	if r.targets {
		h.Plan.Targets = []analyze.LoadTarget{{Name: "GET /products", Share: 0.5}, {Name: "POST /a-path/which-is-quite-long/{id}/orders", Share: 0.5}}
		of := func(index int64, due uint64, a attack.Answers) map[string]*attack.Part {
			return map[string]*attack.Part{h.Plan.Targets[index%2].Name: {Due: due, Answers: a}}
		}
		r.window = func(w *attack.Window) {
			w.Targets = of(w.Index, w.Due, w.Answers)
			for i, l := range w.Late {
				w.Late[i].Targets = of(l.Index, 0, l.Answers)
			}
		}
	}
	var file bytes.Buffer
	out := analyze.NewWriter(&file)
	out.Write(analyze.Record{Header: &h})
	now := time.Duration(0)
	judge, err := analyze.NewJudge(h) // only to know when a phase has seen enough
	if err != nil {
		t.Fatal(err)
	}
	note := func(name, phase string, detail map[string]string) {
		e := analyze.Event{At: now, Phase: phase, Name: name, Detail: detail}
		out.Write(analyze.Record{Event: &e})
		judge.Note(e)
	}
	traffic := func(c simulated.Canary, phase string, most time.Duration, detail map[string]string) {
		c.Phase, c.Start = phase, now
		note(analyze.PhaseBegin, phase, detail)
		if phase == analyze.During {
			note(analyze.CanaryCreated, phase, nil)
			note(analyze.CanaryDeployed, phase, nil)
		}
		for w := range c.Windows() {
			if r.nothing || now >= c.Start+most {
				break
			}
			if r.window != nil {
				r.window(&w)
			}
			out.Write(analyze.Record{Window: &w})
			judge.Add(w)
			if now = w.End(); judge.Settled() {
				break
			}
		}
		if !r.file {
			note(analyze.PhaseEnd, phase, nil)
		}
	}
	v := simulated.Version{Name: r.names[0], Median: 5 * time.Millisecond, Sigma: 0.5}
	c := simulated.Canary{Seed: r.seed, Rate: 1000, Share: 0.5, Arrives: 300 * time.Millisecond, Spread: 500 * time.Millisecond,
		Timeout: 10 * time.Second, Patience: time.Second, Baseline: v, Canary: v}
	c.Canary.Name = r.names[1]
	only := func(version string) simulated.Canary {
		c := c
		c.Share, c.Baseline.Name = 0, version
		return c
	}
	if r.after {
		traffic(only(r.names[0]), analyze.Before, 10*time.Second, map[string]string{"stage": "prod", "expect": r.names[0]})
	}
	if r.canary != nil {
		r.canary(&c)
	}
	traffic(c, phase, r.most, map[string]string{"stage": "prod"})
	if r.after {
		note(analyze.PromoteEnd, "", nil)
		traffic(only(r.names[1]), analyze.After, 10*time.Second, map[string]string{"stage": "prod", "expect": r.names[1], "absent": r.names[0]})
	}
	if !r.file {
		out.Write(analyze.Record{End: &r.end})
	}
	return file.Bytes()
}

const minute = time.Minute

var cases = map[string]told{
	"promote":      {seed: 1, most: minute, after: true, end: analyze.End{Reason: "verdict"}},
	"reject":       {seed: 1, most: minute, canary: func(c *simulated.Canary) { c.Canary.Errors = 0.05 }, end: analyze.End{Reason: "verdict"}},
	"reject-slow":  {seed: 1, most: minute, canary: func(c *simulated.Canary) { c.Canary.Median *= 2 }, end: analyze.End{Reason: "verdict"}},
	"inconclusive": {seed: 1, most: 5 * time.Second, canary: func(c *simulated.Canary) { c.Canary.Median = c.Canary.Median * 11 / 10 }, end: analyze.End{Reason: "budget"}},
	"void":         {seed: 1, most: minute, window: func(w *attack.Window) { w.Turns.Same = 50 }, end: analyze.End{Reason: "verdict"}},
	"interrupted":  {seed: 1, most: 4 * time.Second, end: analyze.End{Reason: "interrupted"}},
	"crashed":      {seed: 1, most: 4 * time.Second, file: true},
	"error":        {seed: 1, most: 4 * time.Second, end: analyze.End{Reason: "error", Error: "shift stage prod to 10%: access denied"}},
	"attack-limited": {seed: 1, most: time.Second, attack: true, window: func(w *attack.Window) {
		w.Busy, w.Returned, w.Resent = attack.WindowLength, 20, 1
		w.Blocked.AddBin(attack.BinOf(time.Second), 5)
	}, end: analyze.End{Reason: "budget"}},
	"attack":         {seed: 1, most: 2 * time.Second, attack: true, canary: func(c *simulated.Canary) { c.Canary.Errors, c.Canary.Anonymous = 0.05, 0.02 }, end: analyze.End{Reason: "budget"}},
	"targets":        {seed: 1, most: minute, targets: true, canary: func(c *simulated.Canary) { c.Canary.Errors = 0.05 }, end: analyze.End{Reason: "verdict"}},
	"attack-targets": {seed: 1, most: 2 * time.Second, targets: true, attack: true, end: analyze.End{Reason: "budget"}},
	"empty":          {nothing: true, end: analyze.End{Reason: "budget"}},
	"empty-attack":   {nothing: true, attack: true, end: analyze.End{Reason: "error", Error: "no connection"}},
	"never-settled":  {seed: 1, most: minute, canary: func(c *simulated.Canary) { c.Share = 0.2 }, end: analyze.End{Reason: "verdict"}},
	"long":           {seed: 1, most: 10 * time.Minute, canary: func(c *simulated.Canary) { c.Canary.Median = c.Canary.Median * 11 / 10 }, end: analyze.End{Reason: "budget"}}, // has no golden file
	"hostile": {seed: 1, most: 4 * time.Second, names: [2]string{"\x1b[2J\x1b[31mgreen\r\n", strings.Repeat("canary-of-a-long-name-", 12)},
		end: analyze.End{Reason: "error", Error: "\x1b]0;owned\a" + strings.Repeat("x", 300)}},
}

func TestReports(t *testing.T) {
	var lines strings.Builder
	for _, name := range []string{"promote", "reject", "reject-slow", "inconclusive", "void", "interrupted", "crashed", "error", "attack", "empty", "empty-attack", "never-settled", "hostile", "targets", "attack-targets", "attack-limited"} {
		a := cases[name].analysis(t)
		for _, format := range report.Formats() {
			if format == "html" {
				continue // TestHTML
			}
			show, _, err := report.Named(format)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := show(&out, a); err != nil {
				t.Fatalf("%s: %s: %v", name, format, err)
			}
			check(t, name+" "+format, out.String(), format == "table")
			golden(t, name+"."+format, out.Bytes())
		}
		line, progress := report.Line(a), report.Progress(a)
		check(t, name+" line", line+progress, false)
		if strings.Contains(line+progress, "\n") || !strings.HasPrefix(line, "coalmine: ") || len(line) > 700 {
			t.Errorf("%s: %q, %q", name, line, progress)
		}
		lines.WriteString("# " + name + "\n" + line + "\n" + progress + "\n")
	}
	golden(t, "lines.txt", []byte(lines.String()))
}

// check holds what is drawn to what every terminal and every parser needs.
func check(t *testing.T, name, text string, narrow bool) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if n := len([]rune(line)); narrow && n > 80 {
			t.Errorf("%s: %d columns: %s", name, n, line)
		}
		if strings.ContainsFunc(line, unicode.IsControl) {
			t.Errorf("%s: control characters: %q", name, line)
		}
		if strings.Contains(line, "NaN") || strings.Contains(line, "Inf") || strings.Contains(line, "%!") {
			t.Errorf("%s: %s", name, line)
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test ./report -update writes it anew):\n%s", file, got)
	}
}

// Numbers beyond all measure, and the widest of everything, still fit.
func TestWidest(t *testing.T) {
	a := cases["reject"].analysis(t)
	for i := range a.Phases {
		for j := range a.Phases[i].Arms {
			arm := &a.Phases[i].Arms[j]
			arm.Hits, arm.Errors, arm.P50, arm.P95, arm.P99, arm.Name = math.MaxUint64/2, math.MaxUint64/2, minute, minute, minute, strings.Repeat("漢", 50)
		}
	}
	for i := range a.Checks {
		c := &a.Checks[i]
		c.Name, c.Evidence = strings.Repeat("check ", 20), math.MaxFloat64
		if c.Unit == analyze.UnitTime {
			big := math.MaxFloat64
			c.Estimate, c.Proven.High = &big, &big
		}
	}
	a.Notes = append(a.Notes, strings.Repeat("y", 500), "a\x1b[0m\nb")
	var out bytes.Buffer
	if err := report.Table(&out, a); err != nil {
		t.Fatal(err)
	}
	check(t, "widest", out.String(), true)
	var empty bytes.Buffer
	if err := report.Table(&empty, analyze.Analysis{}); err != nil {
		t.Error(err)
	}
	if report.Progress(analyze.Analysis{}) != "" || !strings.HasPrefix(report.Line(analyze.Analysis{}), "coalmine: 0 requests") {
		t.Errorf("of nothing: %q, %q", report.Progress(analyze.Analysis{}), report.Line(analyze.Analysis{}))
	}
	if _, _, err := report.Named("xml"); err == nil || !strings.Contains(err.Error(), "html, json, junit, markdown, table") {
		t.Error(err)
	}
}

// Whatever a version is called, no format has what a terminal obeys, or a reader of XML or JSON chokes on.
func TestHostileNames(t *testing.T) {
	for _, name := range []string{"\u009b2J", "\u202egnp.exe", "]]>", "<![CDATA[", "\"&<>'", "\xff\xfe", "\U000e0001tag", "\ufffe", "&#x1b;", "\\u001b[2J", "--></system-out>"} {
		a := told{seed: 1, most: 2 * time.Second, attack: true, names: [2]string{name, "2"}}.analysis(t)
		for _, format := range report.Formats() {
			show, _, _ := report.Named(format)
			var out bytes.Buffer
			if err := show(&out, a); err != nil {
				t.Fatal(err)
			}
			check(t, fmt.Sprintf("%s of %q", format, name), out.String(), format == "table")
			if i := strings.IndexFunc(out.String(), func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }); i >= 0 {
				t.Errorf("%s of %q: %q", format, name, out.String()[i:min(i+20, out.Len())])
			}
			switch format {
			case "junit":
				conforms(t, name, out.Bytes())
			case "json":
				var again struct{ Arms []analyze.Arm }
				if err := json.Unmarshal(out.Bytes(), &again); err != nil || again.Arms[0].Name != a.Phases[0].Arms[0].Name {
					t.Errorf("%q: %v, %+v", name, err, again.Arms)
				}
			}
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestWriteErrors(t *testing.T) {
	a := cases["interrupted"].analysis(t)
	for _, name := range report.Formats() {
		show, _, _ := report.Named(name)
		if err := show(full{}, a); err == nil {
			t.Errorf("%s: a full disk is no error", name)
		}
	}
}
