package analyze_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"coalmine/analyze"
)

func TestDefaultPolicy(t *testing.T) {
	for _, loopback := range []bool{true, false} {
		p := analyze.DefaultPolicy(loopback).Complete(0.5)
		if err := p.Validate(0.5); err != nil {
			t.Error(err)
		}
		if p.Alpha != 0.01 || p.Beta != 0.05 || p.Split.Margin != 3 || p.Errors.Max != 0.01 || p.Errors.Margin != 0.5 || p.WarmUp != 20 ||
			p.Latency.Max != nil || p.Latency.Margin[0.95] != (analyze.Slack{Ratio: 0.1, Add: time.Millisecond}) {
			t.Errorf("defaults: %+v", p)
		}
		if got := time.Duration(p.Settle); got != map[bool]time.Duration{true: 10 * time.Second, false: 120 * time.Second}[loopback] {
			t.Errorf("settle %s", got)
		}
	}
	for share, margin := range map[float64]float64{0.5: 3, 0.05: 2, 0.01: 0.4, 0.98: 0.8} {
		if got := analyze.DefaultPolicy(true).Complete(share).Split.Margin; math.Abs(got-margin) > 1e-9 {
			t.Errorf("margin at %v is %v points, want %v", share, got, margin)
		}
	}
}

func TestReadPolicy(t *testing.T) {
	p, err := analyze.ReadPolicy("p.yaml", []byte(`
alpha: 0.05
split: {margin: 2}
latency:
  max: {p99: 250ms}
settle: 3s
`), analyze.DefaultPolicy(true))
	want := analyze.DefaultPolicy(true)
	want.Alpha, want.Split.Margin, want.Settle = 0.05, 2, analyze.Duration(3*time.Second)
	want.Latency.Max = map[analyze.Quantile]analyze.Duration{0.99: analyze.Duration(250 * time.Millisecond)}
	if diff := cmp.Diff(want, p); err != nil || diff != "" {
		t.Errorf("file over defaults: %v\n%s", err, diff)
	}
	if p, err := analyze.ReadPolicy("p.yaml", nil, want); err != nil || !cmp.Equal(p, want) {
		t.Errorf("an empty file changes the policy: %v", err)
	}
	for _, tc := range []struct{ text, want string }{
		{"alpha: 0.01\nspilt: {margin: 3}", `p.yaml:2: unknown key "spilt" (nearest known: "split")`},
		{"errors:\n  max: 1%\n  margn: 1", `p.yaml:3: unknown key "margn" (nearest known: "margin")`},
		{"errors: {max: 1}", `p.yaml:1: errors.max: want a percentage`},
		{"settle: 5", `p.yaml:1: settle: want a duration`},
		{"latency:\n  max:\n    p999: 1s", `p.yaml:3: latency.max.p999: want a quantile`},
		{"latency: {margin: {p95: 10% or}}", `p.yaml:1: latency.margin.p95: want a margin`},
		{"alpha: much", `p.yaml:1: alpha: want a number, got "much"`},
		{"alpha: [0.1]", `p.yaml:1: alpha: want one value, got a list`},
		{"warm-up: 1.5", `p.yaml:1: warm-up: want a whole number, got "1.5"`},
	} {
		if _, err := analyze.ReadPolicy("p.yaml", []byte(tc.text), want); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%q: %v, want %s", tc.text, err, tc.want)
		}
	}
}

// Every rule of Validate, by the field it names.
func TestValidate(t *testing.T) {
	nan := math.NaN()
	for _, tc := range []struct {
		field  string
		share  float64
		change func(*analyze.Policy)
	}{
		{"alpha", 0.5, func(p *analyze.Policy) { p.Alpha = 0 }},
		{"alpha", 0.5, func(p *analyze.Policy) { p.Alpha = nan }},
		{"beta", 0.5, func(p *analyze.Policy) { p.Beta = 1 }},
		{"percent", 0, func(p *analyze.Policy) {}},
		{"percent", 1, func(p *analyze.Policy) {}},
		{"percent", nan, func(p *analyze.Policy) {}},
		{"split.margin", 0.5, func(p *analyze.Policy) { p.Split.Margin = 0 }},
		{"split.margin", 0.5, func(p *analyze.Policy) { p.Split.Margin = nan }},
		{"split.margin", 0.5, func(p *analyze.Policy) { p.Split.Margin = math.Inf(1) }},
		{"split.margin", 0.5, func(p *analyze.Policy) { p.Split.Margin = 50 }},
		{"split.margin", 0.02, func(p *analyze.Policy) { p.Split.Margin = 2 }},
		{"errors.max", 0.5, func(p *analyze.Policy) { p.Errors.Max = 0 }},
		{"errors.max", 0.5, func(p *analyze.Policy) { p.Errors.Max = 1 }},
		{"errors.margin", 0.5, func(p *analyze.Policy) { p.Errors.Margin = 0 }},
		{"errors.margin", 0.5, func(p *analyze.Policy) { p.Errors.Margin = nan }},
		{"errors.margin", 0.5, func(p *analyze.Policy) { p.Errors.Margin = 61 }},
		{"warm-up", 0.5, func(p *analyze.Policy) { p.WarmUp = -1 }},
		{"max-duration", 0.5, func(p *analyze.Policy) { p.MaxDuration = 0 }},
		{"min-duration", 0.5, func(p *analyze.Policy) { p.MinDuration = p.MaxDuration + 1 }},
		{"min-duration", 0.5, func(p *analyze.Policy) { p.MinDuration = -1 }},
		{"settle", 0.5, func(p *analyze.Policy) { p.Settle = p.MaxDuration }},
		{"settle", 0.5, func(p *analyze.Policy) { p.Settle = -1 }},
		{"breaker.over", 0.5, func(p *analyze.Policy) { p.Breaker.Over = 0 }},
		{"breaker.min-hits", 0.5, func(p *analyze.Policy) { p.Breaker.MinHits = -1 }},
		{"breaker.errors", 0.5, func(p *analyze.Policy) { p.Breaker.Errors = analyze.Percentage(nan) }},
		{"validity.short", 0.5, func(p *analyze.Policy) { p.Validity.Short = 2 }},
		{"latency.max", 0.5, func(p *analyze.Policy) { p.Latency.Max = map[analyze.Quantile]analyze.Duration{0.99: 0} }},
		{"latency.max", 0.5, func(p *analyze.Policy) { p.Latency.Max = map[analyze.Quantile]analyze.Duration{0: 1e6} }},
		{"latency.margin", 0.5, func(p *analyze.Policy) { p.Latency.Margin = map[analyze.Quantile]analyze.Slack{0.95: {}} }},
		{"latency.margin", 0.5, func(p *analyze.Policy) { p.Latency.Margin = map[analyze.Quantile]analyze.Slack{1: {Ratio: 0.1}} }},
		{"latency.margin", 0.5, func(p *analyze.Policy) { p.Latency.Margin = map[analyze.Quantile]analyze.Slack{0.95: {Ratio: nan}} }},
	} {
		p := analyze.DefaultPolicy(true).Complete(0.5)
		tc.change(&p)
		if err := p.Validate(tc.share); err == nil || !strings.Contains(err.Error(), tc.field+":") && !strings.Contains(err.Error(), tc.field+" ") {
			t.Errorf("%s: %v", tc.field, err)
		}
	}
}

// A policy is judged by, written to the run file, and judged by again.
func TestPolicyRoundTrip(t *testing.T) {
	p, err := analyze.ReadPolicy("p.yaml", []byte("alpha: 0.0123456789012345\nerrors: {max: 0.333333333333%}\nlatency: {max: {p99.9: 1.5s}, margin: {}}\n"),
		analyze.DefaultPolicy(false))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var back analyze.Policy
	if err := json.Unmarshal(text, &back); err != nil || !cmp.Equal(p, back) {
		t.Errorf("%s: %v\n%s", text, err, cmp.Diff(p, back))
	}
}

func FuzzReadPolicy(f *testing.F) {
	for _, seed := range []string{"", "alpha: 0.05", "split: {margin: .nan}", "latency: {max: {p99: ~}, margin: {p95: ~}}", "latency: {margin: {~: 10%}}",
		"errors: {max: 1%, margin: -.inf}", "a: &a [*a]", "{", "alpha: !!float x", "settle: ~", "---\n---\n", "breaker: {min-hits: -9}", "- 1", "validity: {clock: 1s}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := analyze.ReadPolicy("p.yaml", data, analyze.DefaultPolicy(true))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "p.yaml:") {
				t.Errorf("no file in %v", err)
			}
			return
		}
		p = p.Complete(0.5)
		if p.Validate(0.5) != nil {
			return
		}
		text, err := json.Marshal(p) // refuses NaN and infinity
		if err != nil {
			t.Fatal(err)
		}
		var back analyze.Policy
		if err := json.Unmarshal(text, &back); err != nil || !cmp.Equal(p, back) {
			t.Errorf("%s reads back as %+v, %v", text, back, err)
		}
		// What is valid can be judged by: no check refuses its bounds.
		j, err := analyze.NewJudge(analyze.Header{Policy: &p, Budget: 1000, Target: analyze.Target{Baseline: "1", Canary: "2", Percent: 50}})
		if err != nil {
			t.Fatal(err)
		}
		j.Note(analyze.Event{Name: analyze.PhaseBegin, Phase: analyze.During})
		if a := j.Analysis(); strings.Contains(strings.Join(a.Notes, "\n"), "is not judged") || a.Conclusion.Verdict != analyze.Inconclusive {
			t.Errorf("%s: %q, %s", text, a.Notes, a.Conclusion.Verdict)
		}
	})
}
