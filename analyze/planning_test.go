package analyze_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"coalmine/analyze"
	"coalmine/analyze/simulated"
	"coalmine/attack"
)

func question(percent float64, change func(*analyze.Question)) analyze.Question {
	q := analyze.Question{Policy: analyze.DefaultPolicy(false), Percent: percent, Rate: 100, MaxRate: 1000, Service: analyze.DefaultService, Prices: analyze.DefaultPrices}
	if change != nil {
		change(&q)
	}
	return q
}

func foresee(t *testing.T, q analyze.Question) analyze.Forecast {
	t.Helper()
	f, err := analyze.Foresee(q)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(f); err != nil {
		t.Errorf("not even JSON: %v", err)
	}
	return f
}

func named(t *testing.T, f analyze.Forecast, name string) analyze.CheckForecast {
	t.Helper()
	for _, c := range f.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no check %q in %+v", name, f.Checks)
	return analyze.CheckForecast{}
}

func bound(t *testing.T, f analyze.Forecast, name string) float64 {
	t.Helper()
	c := named(t, f, name)
	if c.Bound == nil {
		return math.Inf(1)
	}
	return *c.Bound
}

func relative(margins ...any) map[analyze.Quantile]analyze.Slack {
	m := map[analyze.Quantile]analyze.Slack{}
	for i := 0; i < len(margins); i += 2 {
		m[analyze.Quantile(margins[i].(float64))] = analyze.Slack{Ratio: margins[i+1].(float64)}
	}
	return m
}

// The table of statistics.md 7. Its latency columns count good answers; .1 % of the requests are none.
func TestForecastTable(t *testing.T) {
	for _, tc := range []struct {
		percent, margin float64
		want            [7]float64
	}{
		{50, 3, [7]float64{1661, 889, 2001, 2997, 858, 9513, 2016}},
		{10, 2, [7]float64{1503, 4446, 9408, 9617, 3097, 32280, 8332}},
		{5, 2, [7]float64{884, 8892, 18707, 18536, 6043, 62572, 16445}},
	} {
		at := func(p95, p99 float64) analyze.Forecast {
			return foresee(t, question(tc.percent, func(q *analyze.Question) {
				q.Policy.Alpha, q.Policy.Split.Margin, q.Policy.Latency.Margin = 0.05, tc.margin, relative(0.95, p95, 0.99, p99)
			}))
		}
		narrow, wide := at(.10, .10), at(.20, .25)
		got := [7]float64{bound(t, narrow, "split"), bound(t, narrow, "errors canary"), bound(t, narrow, "errors diff"),
			bound(t, narrow, "p95 diff") * .999, bound(t, wide, "p95 diff") * .999, bound(t, narrow, "p99 diff") * .999, bound(t, wide, "p99 diff") * .999}
		for i := range got {
			if math.Round(got[i]) != tc.want[i] {
				t.Errorf("%v %%, column %d: %.1f requests, want %v", tc.percent, i, got[i], tc.want[i])
			}
		}
	}
}

func TestForecastIsMonotone(t *testing.T) {
	for _, tc := range []struct {
		check    string
		tighter  func(*analyze.Policy, float64)
		relative bool // its requests fall towards 50 %
	}{
		{"split", func(p *analyze.Policy, by float64) { p.Split.Margin = 3 * by }, false},
		{"errors canary", func(p *analyze.Policy, by float64) { p.Errors.Max = analyze.Percentage(.01 * by) }, true},
		{"errors diff", func(p *analyze.Policy, by float64) { p.Errors.Margin = .5 * by }, true},
		{"p99 canary", func(p *analyze.Policy, by float64) {
			p.Latency.Max = map[analyze.Quantile]analyze.Duration{.99: analyze.Duration(by * 250e6)}
		}, true},
		{"p95 diff", func(p *analyze.Policy, by float64) { p.Latency.Margin = relative(.95, .1*by) }, true},
		{"p99 diff", func(p *analyze.Policy, by float64) { p.Latency.Margin = relative(.99, .1*by) }, true},
	} {
		at := func(percent, by float64) (requests, regression float64) {
			f := foresee(t, question(percent, func(q *analyze.Question) { tc.tighter(&q.Policy, by) }))
			c := named(t, f, tc.check)
			if c.Bound == nil || c.Regression == nil || *c.Expected != 2**c.Bound {
				t.Fatalf("%s: %+v", tc.check, c)
			}
			return *c.Bound, *c.Regression
		}
		last, seen := 0.0, math.Inf(1)
		for _, by := range []float64{1.5, 1.2, 1, .9, .8} {
			n, x := at(50, by)
			if n <= last || x >= seen {
				t.Errorf("%s, margin x %v: %v requests after %v, %v seen after %v", tc.check, by, n, last, x, seen)
			}
			last, seen = n, x
		}
		if last = 0; !tc.relative {
			continue
		}
		for _, percent := range []float64{50, 40, 30, 20, 10, 5} {
			n, _ := at(percent, 1)
			if n <= last {
				t.Errorf("%s at %v %%: %v requests after %v", tc.check, percent, n, last)
			}
			last = n
		}
	}
}

func TestForecastTime(t *testing.T) {
	f := foresee(t, question(50, nil))
	if f.Slowest != "min-duration" || f.Time == nil || *f.Time != 5*time.Minute || *f.Requests != 30_000 || f.Budget != 90_000 || f.Room != analyze.Ample {
		t.Errorf("default at 50 %%: %+v", f)
	}
	split := named(t, f, "split")
	if want := 2*time.Minute + time.Duration(*split.Expected/100*1e9); split.Start != 2*time.Minute || (*split.At-want).Abs() > time.Microsecond {
		t.Errorf("split begins at %s and is expected at %s, want settle and %s", split.Start, *split.At, want)
	}
	// Armed after 400 answers, 40 windows, and half as long again.
	if c := named(t, f, "errors diff"); c.Start != 6*time.Second {
		t.Errorf("errors diff begins at %s", c.Start)
	}
	f = foresee(t, question(50, func(q *analyze.Question) { q.Policy.WarmUp = 1000 }))
	if c := named(t, f, "errors diff"); c.Start != 20*time.Second {
		t.Errorf("with a warm-up of 1000 hits errors diff begins at %s", c.Start)
	}
	f = foresee(t, question(50, func(q *analyze.Question) { q.Policy.MinDuration = 0 }))
	if f.Slowest != "split" || *f.Time != *split.At {
		t.Errorf("without min-duration: %s at %s", f.Slowest, *f.Time)
	}
	if want := 3.5e-6 * *f.Requests; math.Abs(f.Cost.Gateway-want) > 1e-9 {
		t.Errorf("API Gateway $%v, want $%v", f.Cost.Gateway, want)
	}
	// 128 MB for the mean of the lognormal, and .20 a million.
	if want := *f.Requests * (0.2e-6 + 0.125*0.0566574*0.0000166667); math.Abs(f.Cost.Lambda/want-1) > 1e-4 {
		t.Errorf("Lambda $%v, want $%v", f.Cost.Lambda, want)
	}
}

func TestForecastRateAuto(t *testing.T) {
	for _, percent := range []float64{50, 10, 5} {
		f := foresee(t, question(percent, func(q *analyze.Question) { q.Rate = 0 }))
		slowest := 0.0
		for _, c := range f.Checks {
			if c.Expected != nil {
				slowest = max(slowest, *c.Expected)
			}
		}
		if f.Room != analyze.Ample || f.Rate < slowest/300 || f.Rate > slowest/300*1.2 {
			t.Errorf("at %v %%: %v/s, budget %s; want about %v/s", percent, f.Rate, f.Room, slowest/300)
		}
	}
	f := foresee(t, question(5, func(q *analyze.Question) { q.Rate, q.MaxRate = 0, 50 }))
	if f.Rate != 50 || f.Room == analyze.Ample {
		t.Errorf("above the highest rate: %v/s, %s", f.Rate, f.Room)
	}
}

// The more the baseline fails, the slower; at its bound, never.
func TestForecastNever(t *testing.T) {
	f := foresee(t, question(50, func(q *analyze.Question) { q.Service.Errors = 0.01 }))
	c := named(t, f, "errors canary")
	if c.Bound != nil || c.Room != analyze.Undecidable || f.Time != nil || f.Room != analyze.Undecidable || !strings.Contains(f.Advice[0], "no amount of traffic") {
		t.Errorf("errors at their bound: %+v\n%q", c, f.Advice)
	}
	if len(f.Ways) != 1 || f.Ways[0].Kind != "margin" || !strings.HasPrefix(f.Ways[0].Flags, "--errors-max ") {
		t.Errorf("ways out: %+v", f.Ways)
	}
	f = foresee(t, question(50, func(q *analyze.Question) { q.Service.Unattributed = 0.003 }))
	if c := named(t, f, "errors diff"); c.Bound != nil {
		t.Errorf(".3 %% without a version: %+v", c)
	}
	if last := f.Advice[len(f.Advice)-1]; !strings.Contains(last, "version marker") {
		t.Errorf("advice: %q", f.Advice)
	}
}

func TestForecastAdvice(t *testing.T) {
	advice := func(percent float64, change func(*analyze.Question)) string {
		return strings.Join(foresee(t, question(percent, change)).Advice, "\n")
	}
	p99 := func(q *analyze.Question) { q.Policy.Latency.Margin = relative(.95, .1, .99, .1) }
	if got := advice(10, p99); !strings.Contains(got, "p99 against the baseline needs 3.4 x the requests of all the rest: prefer p95") || !strings.Contains(got, "At 50 %") {
		t.Errorf("p99 at 10 %%: %q", got)
	}
	if got := advice(50, nil); got != "" {
		t.Errorf("default at 50 %%: %q", got)
	}
}

func TestQuestionValidate(t *testing.T) {
	for _, tc := range []struct {
		says   string
		change func(*analyze.Question)
	}{
		{"percent:", func(q *analyze.Question) { q.Percent = 100 }},
		{"alpha:", func(q *analyze.Question) { q.Policy.Alpha = 0 }},
		{"split.margin:", func(q *analyze.Question) { q.Policy.Split.Margin = 50 }},
		{"rate:", func(q *analyze.Question) { q.Rate = -1 }},
		{"max-rate:", func(q *analyze.Question) { q.MaxRate = math.NaN() }},
		{"errors of the baseline:", func(q *analyze.Question) { q.Service.Errors = 1 }},
		{"unattributed:", func(q *analyze.Question) { q.Service.Unattributed = math.NaN() }},
		{"p50 of the baseline:", func(q *analyze.Question) { q.Service.Median = 0 }},
		{"sigma of the baseline:", func(q *analyze.Question) { q.Service.Sigma = 0 }},
		{"price per million requests:", func(q *analyze.Question) { q.Prices.Requests = -1 }},
		{"memory:", func(q *analyze.Question) { q.Prices.MemoryMB = math.NaN() }},
	} {
		if _, err := analyze.Foresee(question(50, tc.change)); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s %v", tc.says, err)
		}
	}
}

// The forecast against the judge itself: requests until each check first passes, and until PROMOTE.
func TestForecastAgainstTheJudge(t *testing.T) {
	const runs, rate = 24, 2000
	for _, percent := range []float64{50, 20} {
		p := analyze.DefaultPolicy(true).Complete(percent / 100)
		p.Settle, p.MinDuration, p.WarmUp = analyze.Duration(time.Second), 0, 20
		p.Latency.Max = map[analyze.Quantile]analyze.Duration{.99: analyze.Duration(25 * time.Millisecond)}
		v := simulated.Version{Name: "1", Median: 5 * time.Millisecond, Sigma: 0.5, Errors: 0.001}
		f := foresee(t, analyze.Question{Policy: p, Percent: percent, Rate: rate, MaxRate: rate, Prices: analyze.DefaultPrices,
			Service: analyze.Service{Errors: v.Errors, Median: v.Median, Sigma: v.Sigma}})
		sum, took := map[string]float64{}, time.Duration(0)
		for seed := range uint64(runs) {
			c := simulated.Canary{Seed: seed, Phase: analyze.During, Rate: rate, Share: percent / 100, Timeout: 10 * time.Second, Patience: time.Second, Baseline: v, Canary: v}
			c.Canary.Name = "2"
			j, err := analyze.NewJudge(analyze.Header{Policy: &p, Budget: p.Budget(rate), Target: analyze.Target{Baseline: "1", Canary: "2", Percent: percent},
				Plan: analyze.Plan{Timeout: c.Timeout}})
			if err != nil {
				t.Fatal(err)
			}
			j.Note(analyze.Event{Phase: analyze.During, Name: analyze.PhaseBegin})
			j.Note(analyze.Event{Name: analyze.CanaryDeployed})
			first := map[string]time.Duration{}
			for w := range c.Windows() {
				j.Add(w)
				for _, e := range j.Look().Checks {
					if _, passed := first[e.Name]; !passed && e.Pass >= -math.Log(p.Alpha) {
						first[e.Name] = w.End()
					}
				}
				if j.Settled() || w.End() >= time.Duration(p.MaxDuration) {
					break
				}
			}
			a := j.Analysis()
			if a.Conclusion.Verdict != analyze.Promote {
				t.Logf("seed %d: %s", seed, a.Conclusion.Sentence)
			}
			took += a.Conclusion.At
			for name, at := range first {
				start := *a.Propagation.Judged
				if name == "split" {
					start = max(start, time.Duration(p.Settle))
				}
				sum[name] += (at - start).Seconds() * rate
			}
		}
		for _, c := range f.Checks {
			if c.Watches {
				continue
			}
			name := strings.NewReplacer("baseline", "1", "canary", "2").Replace(c.Name)
			mean := sum[name] / runs
			t.Logf("%v %%: %-16s bound %6.0f, judge %6.0f (x %.2f)", percent, c.Name, *c.Bound, mean, mean / *c.Bound)
			if ratio := mean / *c.Bound; ratio < 0.9 || ratio > 2.2 {
				t.Errorf("%v %%: %s took %.0f requests on average, %.2f times its bound", percent, c.Name, mean, ratio)
			}
		}
		mean := took / runs
		t.Logf("%v %%: PROMOTE after %s, forecast %s by %s", percent, mean, *f.Time, f.Slowest)
		if ratio := float64(mean) / float64(*f.Time); ratio < 0.6 || ratio > 1.5 {
			t.Errorf("%v %%: PROMOTE after %s on average, forecast %s", percent, mean, *f.Time)
		}
	}
}

// runFile is one phase of simulated traffic, written as a run writes it.
func runFile(phase string, hits int, v simulated.Version) []byte {
	var file bytes.Buffer
	w := analyze.NewWriter(&file)
	w.Write(analyze.Record{Header: &analyze.Header{Format: analyze.Format, Target: analyze.Target{Baseline: "1", Canary: "2", Percent: 50}}})
	w.Write(analyze.Record{Event: &analyze.Event{Name: analyze.PhaseBegin, Phase: phase}})
	c := simulated.Canary{Seed: 3, Phase: phase, Rate: 1000, Timeout: 10 * time.Second, Patience: time.Second, Baseline: v, Canary: v}
	for window := range c.Windows() {
		w.Write(analyze.Record{Window: &window})
		if hits -= int(window.Hits); hits <= 0 {
			break
		}
	}
	return file.Bytes()
}

func TestLearnService(t *testing.T) {
	v := simulated.Version{Name: "1", Median: 20 * time.Millisecond, Sigma: 0.4, Errors: 0.002, Anonymous: 0.001}
	for _, phase := range []string{analyze.Before, analyze.Attack} {
		s, err := analyze.LearnService(bytes.NewReader(runFile(phase, 20_000, v)))
		if err != nil {
			t.Fatal(err)
		}
		near := func(name string, got, want, within float64) {
			t.Helper()
			if math.Abs(got/want-1) > within {
				t.Errorf("%s: %s %v, want %v", phase, name, got, want)
			}
		}
		near("errors", s.Errors, .002, .35)
		near("unattributed", s.Unattributed, .001, .5)
		near("p50", float64(s.Median), 20e6, .02)
		near("sigma", s.Sigma, .4, .03)
		near("mean", float64(s.Mean), 20e6*math.Exp(.08), .02)
		learned := foresee(t, question(50, func(q *analyze.Question) { q.Service = s }))
		assumed := foresee(t, question(50, func(q *analyze.Question) {
			q.Service = analyze.Service{Errors: s.Errors, Unattributed: s.Unattributed, Median: v.Median, Sigma: v.Sigma}
		}))
		near("p95 diff", bound(t, learned, "p95 diff"), bound(t, assumed, "p95 diff"), .12)
		near("errors diff", bound(t, learned, "errors diff"), bound(t, assumed, "errors diff"), 1e-9)
		// The bound that the judge would take from this phase, too.
		limit := time.Duration(learned.Policy.Latency.Max[.99])
		near("p99 bound", float64(limit), 1.5*20e6*math.Exp(.4*2.3263), .05)
		named(t, learned, "p99 canary")
	}
}

// Fifteen in a hundred answers ten times slower, and p95 is well inside the slow mode; five in a hundred, and it falls
// between the two.
func TestForecastSlowMode(t *testing.T) {
	file := func(slow uint64) []byte {
		var b bytes.Buffer
		w := analyze.NewWriter(&b)
		w.Write(analyze.Record{Header: &analyze.Header{Format: analyze.Format, Target: analyze.Target{Baseline: "1", Canary: "2", Percent: 50}}})
		window := attack.Window{Phase: analyze.Before, Length: attack.WindowLength, Due: 10_000, Sent: 10_000, Hits: 10_000}
		tally := attack.Tally{Hits: 10_000}
		for i := range uint64(100) { // 10 ms, and 100 ms, with some breadth
			at := func(d time.Duration) int { return attack.BinOf(d) + int(i) }
			tally.Response.AddBin(at(10*time.Millisecond), 100-slow)
			tally.Response.AddBin(at(100*time.Millisecond), slow)
		}
		window.Arms = map[string]*attack.Tally{"1": &tally}
		w.Write(analyze.Record{Window: &window})
		return b.Bytes()
	}
	plan := func(slow uint64) analyze.Forecast {
		s, err := analyze.LearnService(bytes.NewReader(file(slow)))
		if err != nil {
			t.Fatal(err)
		}
		return foresee(t, question(50, func(q *analyze.Question) { q.Service = s }))
	}
	if got := strings.Join(plan(5).Advice, "\n"); !strings.Contains(got, "p95: the baseline has a gap") || !strings.Contains(got, "p90 lies beside it") {
		t.Errorf("slow mode at 5 %%: %q", got)
	}
	if f := plan(5); bound(t, f, "p95 diff") < 100*bound(t, plan(15), "p95 diff") {
		t.Errorf("p95 diff: %v requests in the gap, %v beside it", bound(t, f, "p95 diff"), bound(t, plan(15), "p95 diff"))
	}
	if got := strings.Join(plan(15).Advice, "\n"); strings.Contains(got, "gap") {
		t.Errorf("slow mode at 15 %%: %q", got)
	}
}

func TestLearnServiceRefuses(t *testing.T) {
	v := simulated.Version{Name: "1", Median: 20 * time.Millisecond, Sigma: 0.4}
	whole := runFile(analyze.Before, 2000, v)
	for _, tc := range []struct {
		says string
		file []byte
	}{
		{"run file: empty", nil},
		{"want a header", []byte("{}\n")},
		{"nothing to learn from", runFile(analyze.During, 2000, v)},
		{"100 good answers, too few", nil},
	} {
		if strings.HasSuffix(tc.says, "too few") {
			tc.says, tc.file = "0 good answers, too few", runFile(analyze.Before, 2000, simulated.Version{Name: "1", Errors: 1})
		}
		if _, err := analyze.LearnService(bytes.NewReader(tc.file)); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%v, want %s", err, tc.says)
		}
	}
	s, err := analyze.LearnService(bytes.NewReader(whole[:len(whole)-10]))
	if err != nil || len(s.Notes) != 1 || s.Learned != 1900 {
		t.Errorf("cut off: %+v, %v", s, err)
	}
}
