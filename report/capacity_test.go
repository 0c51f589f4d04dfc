package report_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"coalmine/analyze"
	"coalmine/analyze/capacity"
	"coalmine/report"
)

// ofCanary is a search for what version 2 carries, at 10 % of the stage, whose last trial is under way.
func ofCanary(version string) analyze.Searching {
	second := func(x float64) time.Duration { return time.Duration(x * float64(time.Second)) }
	arms := func(rate float64, p99 time.Duration, errors uint64) []analyze.TrialArm {
		return []analyze.TrialArm{{Name: "stage", Rate: rate, Hits: uint64(10 * rate), Errors: errors, P50: 12 * time.Millisecond, P99: p99},
			{Name: "1", Rate: 0.9 * rate, Hits: uint64(9 * rate), P50: 11 * time.Millisecond, P99: 20 * time.Millisecond},
			{Name: version, Rate: 0.1 * rate, Hits: uint64(rate), Errors: errors, P50: 30 * time.Millisecond, P99: p99}}
	}
	trial := func(n int, rate float64, purpose capacity.Purpose, outcome, leaning capacity.Outcome, p99 time.Duration, errors uint64) analyze.TrialReport {
		return analyze.TrialReport{Done: capacity.Done{Trial: capacity.Trial{Rate: rate, Shortest: second(2), Longest: second(8), Risk: 0.01, Purpose: purpose},
			Outcome: outcome, Leaning: leaning, Good: 0.1*rate - float64(errors)/10, At: second(float64(11 * n))},
			Took: second(8), Sent: rate, Arms: arms(rate, p99, errors), Sentence: fmt.Sprintf("p99 %s", analyze.Short(p99))}
	}
	target := analyze.Target{Where: "NOT AWS: http://127.0.0.1:1", Method: "GET", URL: "http://127.0.0.1:1/products", API: "a1", Stage: "prod", Baseline: "1", Canary: version, Percent: 10, Classify: "header:V"}
	rating := analyze.DefaultRating()
	rating.Objectives = []analyze.Objective{{Quantile: 0.99, Max: analyze.Duration(150 * time.Millisecond)}, {Errors: 0.01}}
	rating.Arm, rating.Version, rating.Target, rating.AtLeast = analyze.ArmCanary, version, target, 300
	rating.Search = capacity.Plan{Lowest: 10, Highest: 1000, Budget: 10 * time.Minute}.Complete()
	s := analyze.Searching{Rated: analyze.Rated{
		Header: analyze.Header{Format: analyze.Format, Tool: "coalmine/test", Command: "capacity", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Target: target},
		Rating: rating,
		Trials: []analyze.TrialReport{
			trial(1, 300, capacity.Bracket, capacity.Undecided, capacity.Pass, 60*time.Millisecond, 0), trial(2, 600, capacity.Bracket, capacity.Fail, 0, time.Second, 40),
			trial(3, 380, capacity.Confirm, capacity.Pass, 0, 90*time.Millisecond, 0), trial(4, 399, capacity.Confirm, capacity.Invalid, 0, 90*time.Millisecond, 0)},
		Result: capacity.Result{Kind: capacity.Unfinished, Lower: &capacity.Bound{Rate: 380, Trials: 1}, Upper: &capacity.Bound{Rate: 600, Proven: true, Trials: 2, Broken: 2},
			Width: 0.579, Goal: 0.05, Conditional: 37.9, Trials: 4, Took: second(44)},
		Arm:   &analyze.ArmRates{Version: version, Share: 0.1, Lower: 38, Upper: 60},
		Rates: arms(380, 90*time.Millisecond, 0), Sentence: "Unfinished: what is known.", Notes: []string{"a note"},
	}}
	under := trial(5, 489.9, capacity.Bisect, capacity.Undecided, 0, 120*time.Millisecond, 3)
	under.Took = second(3)
	s.Under = &under
	return s
}

func TestCapacityReports(t *testing.T) {
	s := ofCanary("2")
	s.Under, s.End = nil, analyze.End{Reason: "interrupted"}
	hostile := ofCanary("\x1b[2J<script>\u202e")
	hostile.Sentence = "\x1b[2J<script>alert(1)</script>"
	if line := report.CapacityLine(analyze.Rated{Result: capacity.Result{Trials: 1}}); !strings.Contains(line, ", 1 trial, ") {
		t.Error(line)
	}
	unsure := ofCanary("2").Rated
	unsure.Trials = unsure.Trials[2:3]
	unsure.Trials[0].Outcome, unsure.Trials[0].Longest = capacity.Undecided, time.Hour
	if line := report.CapacityLine(unsure); !strings.Contains(line, ", the one confirming trial was not decided: longer ones (--longest-trial) or looser objectives would help, p99") {
		t.Error(line)
	}
	if lines := report.LiveCapacity(analyze.Searching{Rated: analyze.Rated{Trials: s.Trials[:1]}}, report.View{Width: 79, Height: 23}); !strings.HasSuffix(lines[0], " 1 trial") {
		t.Error(lines[0])
	}
	for _, format := range report.Formats() {
		show, err := report.NamedCapacity(format)
		if err != nil {
			t.Fatal(err)
		}
		for name, r := range map[string]analyze.Rated{"capacity": s.Rated, "": hostile.Rated, "empty": {}} {
			var out bytes.Buffer
			if err := show(&out, r); err != nil {
				t.Fatalf("%s: %v", format, err)
			}
			check(t, name+" "+format, out.String(), format == "table")
			if name == "empty" && strings.Contains(out.String(), "(pass)") {
				t.Errorf("%s: explains what it does not show:\n%s", format, out.String())
			}
			if format == "html" && strings.Contains(out.String(), "<script") {
				t.Errorf("%s: a script", name)
			}
			if name == "capacity" {
				golden(t, "capacity."+format, out.Bytes())
			}
		}
	}
}

// What no trial has proven is nowhere said as if one had.
func TestCapacityUnproven(t *testing.T) {
	bound := func(rate float64, proven bool) *capacity.Bound { return &capacity.Bound{Rate: rate, Proven: proven} }
	for want, c := range map[string]struct {
		lower, upper *capacity.Bound
		arm          bool
	}{
		"nothing proven, 10/s seemed to hold":                                  {lower: bound(10, false)},
		"nothing proven, 20/s seemed to fail":                                  {upper: bound(20, false)},
		"nothing proven, 10/s seemed to hold and 20/s seemed to fail":          {bound(10, false), bound(20, false), false},
		"10/s or more, 20/s seemed to fail":                                    {bound(10, true), bound(20, false), false},
		"below 20/s, 10/s seemed to hold":                                      {bound(10, false), bound(20, true), false},
		"10/s to 20/s":                                                         {bound(10, true), bound(20, true), false},
		"unknown":                                                              {},
		"nothing proven, 10/s of the stage seemed to hold":                     {bound(10, false), nil, true},
		"below 20/s of the stage, 2/s of v2, 10/s of the stage seemed to hold": {bound(10, false), bound(20, true), true},
		"10/s to 20/s of the stage, 1/s to 2/s of v2":                          {bound(10, true), bound(20, true), true},
	} {
		rating := analyze.DefaultRating()
		rating.Search = capacity.Plan{Lowest: 10, Highest: 40}.Complete()
		r := analyze.Rated{Rating: rating, Result: capacity.Result{Kind: capacity.Unfinished, Lower: c.lower, Upper: c.upper, Stopped: "interrupted"}, End: analyze.End{Reason: "interrupted"}, Sentence: "Unfinished."}
		if c.arm {
			r.Arm = &analyze.ArmRates{Version: "2", Share: 0.1, Lower: 1, Upper: 2}
		}
		if line := report.CapacityLine(r); !strings.HasPrefix(line, "coalmine: CAPACITY UNFINISHED "+want+", interrupted, ") {
			t.Errorf("%q, want %q", line, want)
		}
		if lines := report.LiveCapacity(analyze.Searching{Rated: r}, report.View{Width: 120, Height: 9}); lines[1] != "known: "+want {
			t.Errorf("%q, want %q", lines[1], want)
		}
		for format, shown := range map[string]string{"markdown": "capacity " + want, "junit": want, "html": "capacity " + want + "</span>"} {
			show, err := report.NamedCapacity(format)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := show(&out, r); err != nil || !strings.Contains(out.String(), shown) || strings.Contains(out.String(), "or more") != strings.Contains(want, "or more") {
				t.Errorf("%s: %v, want %q\n%s", format, err, shown, out.String())
			}
			if format == "html" && strings.Contains(out.String(), "interval holds the capacity") == strings.Contains(want, "seemed") {
				t.Errorf("%s: what the interval holds is not as proven", want)
			}
		}
	}
}

// The live view fits where it is shown, and has the bar on which what is not known gets less.
func TestLiveCapacity(t *testing.T) {
	var all strings.Builder
	between := ofCanary("2")
	between.Under = nil
	for name, s := range map[string]analyze.Searching{"under way": ofCanary("2"), "between": between, "nothing yet": {}, "hostile": ofCanary("\x1b[2J\u202e")} {
		for _, v := range []report.View{{Width: 79, Height: 23}, {Width: 39, Height: 23, ASCII: true}, {Width: 1, Height: 1}, {Width: 120, Height: 3}} {
			lines := report.LiveCapacity(s, v)
			if len(lines) == 0 || len(lines) > v.Height {
				t.Errorf("%s: %d lines in %d", name, len(lines), v.Height)
			}
			check(t, name, strings.Join(lines, "\n"), false)
			for _, line := range lines {
				if ansi.StringWidth(line) > v.Width {
					t.Errorf("%s: %d columns in %d: %s", name, ansi.StringWidth(line), v.Width, line)
				}
			}
			if name == "under way" && v.Width < 100 && v.Width > 1 {
				fmt.Fprintf(&all, "# %d columns\n%s\n\n", v.Width, strings.Join(lines, "\n"))
			}
		}
	}
	golden(t, "capacity-live.txt", []byte(all.String()))
}

// The live page is that of the end, with the trial under way and without what is said at the end.
func TestLiveCapacityPage(t *testing.T) {
	s := ofCanary("2")
	var page bytes.Buffer
	if err := report.LiveCapacityPage(&page, s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{" data-live", "RUNNING", "trial 5, bisect at 489.9/s", `id="data">{"charts":[]`, "below 600/s of the stage, 60/s of v2, 380/s of the stage seemed to hold"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q", want)
		}
	}
	update := func() (u struct {
		Title, Body string
		Data        map[string][]any
		Ended       bool
	}) {
		text, err := report.LiveCapacityUpdate(s)
		if err != nil || bytes.ContainsRune(text, '\n') {
			t.Fatalf("%v, %s", err, text)
		}
		if err := json.Unmarshal(text, &u); err != nil {
			t.Fatal(err)
		}
		return u
	}
	circles := func(body string) int { return strings.Count(body, "<circle") + strings.Count(body, "<path") }
	now := update()
	if now.Ended || !strings.HasPrefix(now.Title, "RUNNING") || circles(now.Body) != 45 { // 5 trials, 3 arms, 3 pictures
		t.Errorf("%s, ended %t, %d marks", now.Title, now.Ended, circles(now.Body))
	}
	s.Under, s.End = nil, analyze.End{Reason: "interrupted"}
	if end := update(); !end.Ended || !strings.HasPrefix(end.Title, "UNFINISHED") || circles(end.Body) != 36 || !strings.Contains(end.Body, "coalmine: CAPACITY UNFINISHED") {
		t.Errorf("%s, ended %t, %d marks", end.Title, end.Ended, circles(end.Body))
	}
}
