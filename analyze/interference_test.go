package analyze_test

import (
	"strings"
	"testing"
	"time"

	"coalmine/analyze"
	"coalmine/analyze/simulated"
	"coalmine/attack"
)

// withBefore judges a canary of the given percent after a before phase of its baseline as it was.
func withBefore(t *testing.T, percent float64, was, is simulated.Canary) analyze.Analysis {
	t.Helper()
	p := policy(func(p *analyze.Policy) {
		p.Split.Margin = min(3, 0.4*percent)
		p.Latency.Max = map[analyze.Quantile]analyze.Duration{}
	})
	s := beginAt(t, &p, percent)
	s.traffic(was, analyze.Before, 10*time.Second, nil, "stage", "prod", "expect", "1")
	s.traffic(is, analyze.During, time.Duration(p.MaxDuration), nil)
	return s.finish("verdict")
}

// A canary that slows or breaks both versions passes every comparison with the baseline, and is no pass.
func TestInterference(t *testing.T) {
	for _, tc := range []struct {
		name   string
		during func(*simulated.Canary)
		void   string // "" promotes
	}{
		{"none", func(c *simulated.Canary) {}, ""},
		{"both slower", func(c *simulated.Canary) { c.Baseline.Median *= 2; c.Canary.Median *= 2 }, "both versions are worse than before the canary: Baseline p95"},
		{"both a little slower", func(c *simulated.Canary) {
			c.Baseline.Median += 200 * time.Microsecond
			c.Canary.Median += 200 * time.Microsecond
		}, ""},
		{"both fail more", func(c *simulated.Canary) { c.Baseline.Errors = 0.03; c.Canary.Errors = 0.03 }, "aseline"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for seed := range uint64(3) {
				is := healthy(seed)
				tc.during(&is)
				a := withBefore(t, 50, alone("1", seed), is)
				void := strings.Join(a.Conclusion.Void, "; ")
				switch {
				case tc.void == "" && a.Conclusion.Verdict != analyze.Promote:
					t.Errorf("seed %d: %s: %s", seed, a.Conclusion.Verdict, a.Conclusion.Sentence)
				case tc.void != "" && (a.Conclusion.Verdict != analyze.Inconclusive || !strings.Contains(void, tc.void)):
					t.Errorf("seed %d: %s, void %q; want INCONCLUSIVE, %q", seed, a.Conclusion.Verdict, void, tc.void)
				}
			}
		})
	}
}

// At a small share the bound on all answers hides crashes that name no version; against the before phase they show.
func TestStageRise(t *testing.T) {
	small := func(seed uint64, crashes, background float64) (was, is simulated.Canary) {
		was, is = alone("1", seed), healthy(seed)
		is.Share = 0.1
		was.Baseline.Anonymous, was.Canary.Anonymous = background, background
		is.Baseline.Anonymous, is.Canary.Anonymous = background, crashes
		return was, is
	}
	for seed := range uint64(3) {
		was, is := small(seed, 0.08, 0)
		a := withBefore(t, 10, was, is)
		if a.Conclusion.Verdict != analyze.Reject || a.Conclusion.Culprit != "stage errors rise" {
			t.Errorf("8 %% crashes at 10 %% share, seed %d: %s, %q: %s", seed, a.Conclusion.Verdict, a.Conclusion.Culprit, a.Conclusion.Sentence)
		}
		// Errors that were there before are nobody's change: the same rise on top of them is not laid at the canary's door.
		if was, is = small(seed, 0.08, 0.004); true {
			if a := withBefore(t, 10, was, is); a.Conclusion.Verdict == analyze.Promote || a.Conclusion.Verdict == analyze.Reject && a.Conclusion.Culprit == "stage errors rise" {
				t.Errorf("with a background, seed %d: %s, %q", seed, a.Conclusion.Verdict, a.Conclusion.Culprit)
			}
		}
	}
}

// A rise that is proven, and is nobody's, is what the deadline says: not that some other check needs more requests. It
// hides no other fault of the canary's.
func TestRiseIsNobodys(t *testing.T) {
	risen := func(change func(*simulated.Canary)) analyze.Conclusion {
		p := policy(func(p *analyze.Policy) { p.Errors.Max, p.Latency.Max = 0.05, map[analyze.Quantile]analyze.Duration{} })
		s := beginAt(t, &p, 10)
		was, is := alone("1", 1), healthy(1)
		is.Share = 0.1
		was.Baseline.Anonymous, is.Baseline.Anonymous, is.Canary.Anonymous = 0.004, 0.004, 0.3
		change(&is)
		s.traffic(was, analyze.Before, 10*time.Second, nil, "stage", "prod", "expect", "1")
		s.traffic(is, analyze.During, time.Duration(p.MaxDuration), nil)
		return s.finish("budget").Conclusion
	}
	if c := risen(func(*simulated.Canary) {}); c.Verdict != analyze.Inconclusive || c.Culprit != "stage errors rise" ||
		!strings.Contains(c.Sentence, "nobody can say that it is the canary's doing") {
		t.Errorf("%s, %q: %s", c.Verdict, c.Culprit, c.Sentence)
	}
	if c := risen(func(is *simulated.Canary) { is.Canary.Median = is.Canary.Median * 13 / 10 }); c.Verdict != analyze.Reject || c.Culprit != "p95 diff" {
		t.Errorf("slow, too: %s, %q: %s", c.Verdict, c.Culprit, c.Sentence)
	}
}

// Hits that hang have no answer yet when the phase before the canary ends; the same hits are timeouts after it. No rise.
func TestHangingBeforeIsNoRise(t *testing.T) {
	for seed := range uint64(3) {
		was, is := alone("1", seed), healthy(seed)
		is.Share, is.Timeout, was.Timeout = 0.1, 20*time.Second, 20*time.Second
		for _, v := range []*simulated.Version{&was.Baseline, &was.Canary, &is.Baseline, &is.Canary} {
			v.Hang = 0.006
		}
		if a := withBefore(t, 10, was, is); a.Conclusion.Verdict == analyze.Reject {
			t.Errorf("seed %d: %s, %q: %s", seed, a.Conclusion.Verdict, a.Conclusion.Culprit, a.Conclusion.Sentence)
		}
	}
}

// A canary that refuses everything with 4xx is rejected by its own errors, before the breaker or the arming.
func TestEarlyErrors(t *testing.T) {
	a := tell(t, nil, func(_ *story, w *attack.Window) {
		for version, tally := range w.Arms {
			if version == "2" {
				tally.Errors = map[attack.Class]uint64{"4xx": tally.Hits}
				tally.Response, tally.Service = nil, nil
			}
		}
	})
	if a.Conclusion.Verdict != analyze.Reject || a.Conclusion.Culprit != "errors 2 early" {
		t.Errorf("%s, %q: %s", a.Conclusion.Verdict, a.Conclusion.Culprit, a.Conclusion.Sentence)
	}
}
