package analyze_test

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coalmine/analyze"
	"coalmine/analyze/simulated"
	"coalmine/attack"
)

// seeds judges many releases, on all cores, and counts the verdicts.
func seeds(t *testing.T, n int, canary func(*simulated.Canary), change func(*analyze.Policy)) (count map[analyze.Verdict]int) {
	t.Helper()
	if testing.Short() {
		n = max(n/10, 5)
	}
	var next atomic.Int64
	var mu sync.Mutex
	var all sync.WaitGroup
	count = map[analyze.Verdict]int{}
	for range 2 {
		all.Go(func() {
			for seed := next.Add(1); seed <= int64(n); seed = next.Add(1) {
				c := healthy(uint64(seed))
				canary(&c)
				a := judge(t, c, change)
				mu.Lock()
				count[a.Conclusion.Verdict]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return count
}

func TestHealthyIsPromoted(t *testing.T) {
	for name, change := range map[string]func(*simulated.Canary){
		"plain":                func(c *simulated.Canary) {},
		"host by host for 2 s": func(c *simulated.Canary) { c.Arrives, c.Spread = 500*time.Millisecond, 2*time.Second },
	} {
		got := seeds(t, 100, change, nil)
		t.Logf("%s: %v", name, got)
		if all := got[0] + got[1] + got[2]; got[analyze.Promote] < all*95/100 || got[analyze.Reject] > all*5/100 {
			t.Errorf("%s: %v, want 95 %% promoted", name, got)
		}
	}
}

func TestBadIsNeverPromoted(t *testing.T) {
	short := func(p *analyze.Policy) { p.MaxDuration = analyze.Duration(8 * time.Second) }
	for name, change := range map[string]func(*simulated.Canary){
		"failing":       func(c *simulated.Canary) { c.Canary.Errors = 0.03 },
		"slow":          func(c *simulated.Canary) { c.Canary.Median = c.Canary.Median * 3 / 2 },
		"misrouted":     func(c *simulated.Canary) { c.Share = 0.4 },
		"dead":          func(c *simulated.Canary) { c.Canary.Anonymous = 1 },
		"crashing":      func(c *simulated.Canary) { c.Canary.Anonymous = 0.1 },
		"wrong version": func(c *simulated.Canary) { c.Canary.Name = "3" },
		"hanging 3 %":   func(c *simulated.Canary) { c.Canary.Hang = 0.03 },
		"hanging 5 %":   func(c *simulated.Canary) { c.Canary.Hang, c.Timeout = 0.05, 3*time.Second },
	} {
		got := seeds(t, 100, change, short)
		t.Logf("%s: %v", name, got)
		if got[analyze.Promote] > 0 {
			t.Errorf("%s: %v, want none promoted", name, got)
		}
	}
}

// A canary exactly at one bound, within all others, may be promoted in one of a hundred runs.
func TestBoundaries(t *testing.T) {
	quick := func(p *analyze.Policy) {
		p.Settle, p.MinDuration, p.MaxDuration = analyze.Duration(time.Second), analyze.Duration(time.Second), analyze.Duration(7*time.Second)
	}
	for name, change := range map[string]func(*simulated.Canary){
		"errors": func(c *simulated.Canary) { c.Baseline.Errors, c.Canary.Errors = 0.008, 0.01 },
		"split":  func(c *simulated.Canary) { c.Share = 0.47 },
		"p95":    func(c *simulated.Canary) { c.Baseline.Median *= 4; c.Canary.Median = c.Baseline.Median * 11 / 10 },
	} {
		got := seeds(t, 200, func(c *simulated.Canary) {
			c.Rate, c.Arrives, c.Spread = 3000, 0, 0
			change(c)
		}, quick)
		t.Logf("%s: %v", name, got)
		n := float64(got[0] + got[1] + got[2])
		if limit := n*0.01 + 3*math.Sqrt(n*0.01*0.99); float64(got[analyze.Promote]) > limit {
			t.Errorf("%s: %v, want at most %.1f promoted", name, got, limit)
		}
	}
}

// tell runs a during phase of a healthy canary, but for what each does to its windows, and holds the replay to it.
func tell(t *testing.T, change func(*simulated.Canary), each func(s *story, w *attack.Window)) analyze.Analysis {
	t.Helper()
	p := policy(func(p *analyze.Policy) { p.MaxDuration = analyze.Duration(20 * time.Second) })
	s := begin(t, &p)
	c := healthy(1)
	if change != nil {
		change(&c)
	}
	s.traffic(c, analyze.During, time.Duration(p.MaxDuration), func(w *attack.Window) {
		if each != nil {
			each(s, w)
		}
	}, "stage", "prod")
	return s.finish("verdict")
}

// becomes turns a part of a window's answers into errors that name no version.
func becomes(w *attack.Window, cause attack.Cause, class attack.Class, every int) {
	kept := attack.Answers{}
	n := uint64(0)
	for name, t := range w.Arms {
		lost := t.Hits / uint64(every)
		n += lost
		if t.Hits -= lost; t.Hits == 0 {
			continue
		}
		t.Errors = nil
		t.Response = attack.Histogram{{Bin: 3000, Count: t.Hits}}
		t.Service = t.Response
		kept.Merge(attack.Answers{Arms: map[string]*attack.Tally{name: t}})
	}
	if n == 0 {
		return
	}
	lost := &attack.Tally{Hits: n, First: w.Start, Last: w.Start}
	if class != "" {
		lost.Errors = map[attack.Class]uint64{class: n}
	} else {
		lost.Response = attack.Histogram{{Bin: 3000, Count: n}}
	}
	kept.Merge(attack.Answers{Unattributed: map[attack.Cause]*attack.Tally{cause: lost}})
	kept.Merge(attack.Answers{Unattributed: w.Unattributed})
	w.Answers = kept
}

func TestValidity(t *testing.T) {
	lateGenerator := func(_ *story, w *attack.Window) {
		w.Wake = attack.Histogram{{Bin: attack.Bins - 1, Count: w.Sent / 10}}
	}
	const inconclusive = analyze.Inconclusive
	for _, tc := range []struct {
		name    string
		change  func(*simulated.Canary)
		each    func(*story, *attack.Window)
		want    analyze.Verdict
		void    string // how the first reason goes; "": there is none
		culprit string
	}{
		{"healthy", nil, nil, analyze.Promote, "", ""},
		{"all 429", nil, func(_ *story, w *attack.Window) { becomes(w, attack.No429, attack.Throttled, 1) }, inconclusive, "the circuit breaker stopped the load: 100.0 %", ""},
		{"some 429", nil, func(_ *story, w *attack.Window) { becomes(w, attack.No429, attack.Throttled, 40) }, inconclusive, "the stage throttles", ""},
		{"all 401", nil, func(_ *story, w *attack.Window) { becomes(w, attack.No4xx, attack.Unauthorized, 1) }, inconclusive, "the circuit breaker stopped the load: 100.0 %", ""},
		{"some 403", nil, func(_ *story, w *attack.Window) { becomes(w, attack.No4xx, attack.Forbidden, 20) }, inconclusive, "the stage refuses us", ""},
		{"403 of the canary alone", nil, func(_ *story, w *attack.Window) {
			if t := w.Arms["2"]; t != nil && t.Hits > 9 {
				n := t.Hits / 10
				t.Errors = map[attack.Class]uint64{attack.Forbidden: n}
				t.Response = attack.Histogram{{Bin: 3000, Count: t.Hits - n}}
				t.Service = t.Response
			}
		}, analyze.Reject, "", "errors"},
		{"403 of both", nil, func(_ *story, w *attack.Window) {
			for _, t := range w.Arms {
				n := t.Hits / 10
				t.Errors = map[attack.Class]uint64{attack.Forbidden: n}
				t.Response = attack.Histogram{{Bin: 3000, Count: t.Hits - n}}
				t.Service = t.Response
			}
		}, inconclusive, "the stage refuses us", ""},
		{"classifier misses", nil, func(_ *story, w *attack.Window) { becomes(w, attack.Unrecognised, "", 20) }, inconclusive, "the classifier does not tell who answered", ""},
		{"only unattributed", nil, func(_ *story, w *attack.Window) { becomes(w, attack.Unrecognised, "", 1) }, inconclusive, "the classifier does not tell who answered", ""},
		{"sticky", nil, func(_ *story, w *attack.Window) { w.Turns.Same = 50 }, inconclusive, "routing is sticky or cached", ""},
		{"independent", nil, func(_ *story, w *attack.Window) { w.Turns = attack.Turns{Same: 25, Switched: 25} }, analyze.Promote, "", ""},
		{"stage changed", nil, func(s *story, w *attack.Window) {
			if w.Index == 30 {
				s.note(analyze.StageChanged, analyze.During, "what", "percent 50 to 10")
			}
		}, inconclusive, "stage changed under test: percent 50 to 10", ""},
		{"stage changed, canary failing", func(c *simulated.Canary) { c.Canary.Errors = 0.3 }, func(s *story, w *attack.Window) {
			if w.Index == 3 {
				s.note(analyze.StageChanged, analyze.During, "what", "deployment")
			}
		}, inconclusive, "stage changed under test: deployment", ""},
		{"clock jumped", nil, func(s *story, w *attack.Window) {
			if w.Index == 30 {
				s.note(analyze.ClockJump, analyze.During, "by", "2h0m0s")
			}
		}, inconclusive, "the clock jumped: 2h0m0s", ""},
		{"generator late", nil, lateGenerator, inconclusive, "the load generator was late", ""},
		{"generator late, canary failing", func(c *simulated.Canary) { c.Canary.Errors = 0.1 }, lateGenerator, analyze.Reject, "", ""},
		{"generator late, canary slow", func(c *simulated.Canary) { c.Canary.Median *= 3 }, lateGenerator, inconclusive, "the load generator was late", ""},
		{"generator late, canary misrouted", func(c *simulated.Canary) { c.Share = 0.2 }, lateGenerator, analyze.Reject, "", "split"},
		{"generator short", nil, func(_ *story, w *attack.Window) { w.Sent = w.Sent * 8 / 10 }, inconclusive, "the load generator fell short", ""},
		{"nothing sent", nil, func(_ *story, w *attack.Window) {
			*w = attack.Window{Phase: w.Phase, Index: w.Index, Start: w.Start, Length: w.Length}
		}, inconclusive, "", ""},
		{"nothing answered", nil, func(_ *story, w *attack.Window) {
			w.Answers, w.Late, w.Hits, w.Pending = attack.Answers{}, nil, 0, w.Due
		}, inconclusive, "", ""},
		{"late answers all along", func(c *simulated.Canary) {
			c.Baseline.Median, c.Canary.Median, c.Patience = 60*time.Millisecond, 60*time.Millisecond, 100*time.Millisecond
		}, nil, analyze.Promote, "", ""},
		{"baseline out of bounds", func(c *simulated.Canary) { c.Baseline.Errors, c.Canary.Errors = 0.03, 0 }, nil, inconclusive, "the baseline ", ""},
		{"both fail", func(c *simulated.Canary) { c.Baseline.Errors, c.Canary.Errors = 0.03, 0.03 }, nil, inconclusive, "the baseline ", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := tell(t, tc.change, tc.each)
			c := a.Conclusion
			void := ""
			if len(c.Void) > 0 {
				void = c.Void[0]
			}
			if c.Verdict != tc.want || (void == "") != (tc.void == "") || !strings.HasPrefix(void, tc.void) || !strings.HasPrefix(c.Culprit, tc.culprit) {
				t.Errorf("%s by %q, void %q; want %s by %q, void %q\n%s", c.Verdict, c.Culprit, c.Void, tc.want, tc.culprit, tc.void, c.Sentence)
			}
			if strings.Contains(c.Sentence, "..") || strings.Contains(c.Sentence, "NaN") || strings.Contains(c.Sentence, "Inf") || !strings.HasSuffix(c.Sentence, ".") {
				t.Errorf("reads badly: %s", c.Sentence)
			}
		})
	}
}

// The whole story: learned bounds, a promote, the canary alone after it. What happens after the verdict leaves it be.
func TestWholeStory(t *testing.T) {
	p := policy(nil)
	s := begin(t, &p)
	s.traffic(alone("1", 1), analyze.Before, 20*time.Second, nil, "stage", "prod", "expect", "1")
	s.traffic(healthy(2), analyze.During, 30*time.Second, nil, "stage", "prod")
	during := s.judge.Conclude()
	s.note(analyze.PromoteEnd, "")
	s.note(analyze.ClockJump, "", "by", "1h")
	s.traffic(alone("2", 3), analyze.After, 20*time.Second, nil, "stage", "prod", "expect", "2", "absent", "1")
	a := s.finish("verdict")
	if a.Conclusion.Verdict != analyze.Promote || a.After != analyze.Pass || a.Action != "promoted" {
		t.Errorf("%s, %s, after: %s: %s", a.Conclusion.Verdict, a.Action, a.After, a.Conclusion.Sentence)
	}
	if a.Conclusion.Requests != during.Requests {
		t.Errorf("%d requests at the verdict, %d in the end; want those up to the verdict", during.Requests, a.Conclusion.Requests)
	}
	for _, c := range a.Checks {
		if c.Outcome != analyze.Pass {
			t.Errorf("promoted, and %s is %s: %s", c.Name, c.Outcome, c.Sentence)
		}
	}
}

// A second attempt in one run would err twice as often.
func TestSecondAttempt(t *testing.T) {
	p := policy(func(p *analyze.Policy) { p.MaxDuration = analyze.Duration(6 * time.Second) })
	s := begin(t, &p)
	bad := healthy(2)
	bad.Canary.Hang = 0.05
	s.traffic(bad, analyze.During, 6*time.Second, nil)
	s.traffic(healthy(2), analyze.During, 30*time.Second, nil)
	if a := s.finish("verdict"); a.Conclusion.Verdict != analyze.Inconclusive || len(a.Notes) == 0 {
		t.Errorf("%s, notes %q", a.Conclusion.Verdict, a.Notes)
	}
}

func TestEmptyJudge(t *testing.T) {
	p := policy(nil)
	for _, h := range []analyze.Header{{}, {Policy: &p, Target: analyze.Target{Baseline: "1", Canary: "2", Percent: 50}}} {
		j, err := analyze.NewJudge(h)
		if err != nil {
			t.Fatal(err)
		}
		j.Add(attack.Window{})
		a := j.Analysis()
		if j.Verdict() != analyze.Inconclusive || j.Outcome() != analyze.Undecided || j.Settled() || a.Conclusion.Verdict != analyze.Inconclusive || len(j.Look().Checks) > 0 {
			t.Errorf("an empty judge says %s, %s", j.Verdict(), j.Outcome())
		}
	}
	for _, target := range []analyze.Target{{Baseline: "1", Canary: "1", Percent: 50}, {Canary: "2", Percent: 50}, {Baseline: "1", Percent: 50}, {Baseline: "1", Canary: "2"}} {
		if _, err := analyze.NewJudge(analyze.Header{Policy: &p, Target: target}); err == nil {
			t.Errorf("%+v can be judged", target)
		}
	}
}

func TestDeadline(t *testing.T) {
	for _, tc := range []struct{ reason, want string }{{"budget", "at the deadline"}, {"interrupted", "when it was interrupted"}, {"error", "when the run broke off"}} {
		p := policy(nil)
		s := begin(t, &p)
		s.traffic(healthy(1), analyze.During, 4*time.Second, nil)
		a := s.finish(tc.reason)
		if c := a.Conclusion; c.Verdict != analyze.Inconclusive || len(c.Void) > 0 || !strings.HasPrefix(c.Sentence, "INCONCLUSIVE "+tc.want+": ") || c.Culprit == "" {
			t.Errorf("%s: %s %q %s", tc.reason, c.Verdict, c.Void, c.Sentence)
		}
	}
}

func TestMinDuration(t *testing.T) {
	for _, least := range []time.Duration{5 * time.Second, 15 * time.Second} {
		a := judge(t, healthy(4), func(p *analyze.Policy) { p.MinDuration = analyze.Duration(least) })
		if a.Conclusion.Verdict != analyze.Promote || a.Conclusion.At < least {
			t.Errorf("min-duration %s: %s at %s", least, a.Conclusion.Verdict, a.Conclusion.At)
		}
	}
	c := healthy(4)
	c.Canary.Errors = 0.2
	if a := judge(t, c, func(p *analyze.Policy) { p.MinDuration = analyze.Duration(30 * time.Second) }); a.Conclusion.Verdict != analyze.Reject || a.Conclusion.At > 5*time.Second {
		t.Errorf("min-duration delays a reject: %s at %s", a.Conclusion.Verdict, a.Conclusion.At)
	}
}

// Before settle lag and a wrong share look alike: nothing is proven, and nothing is claimed.
func TestNoWordOnTheSplitBeforeSettle(t *testing.T) {
	p := policy(nil)
	s := begin(t, &p)
	c := healthy(1)
	c.Share = 0.48
	s.traffic(c, analyze.During, 2500*time.Millisecond, nil)
	for _, check := range s.finish("interrupted").Checks {
		if check.Name == "split" && (check.Outcome != analyze.Undecided || check.Proven.Low != nil || check.Proven.High != nil) {
			t.Errorf("split before settle: %s, %s", check.Outcome, check.Sentence)
		}
	}
}
