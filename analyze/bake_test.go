package analyze_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"coalmine/analyze"
	"coalmine/analyze/simulated"
	"coalmine/attack"
)

const bakes = 8 * time.Second

// toBake is a run that promoted at its share and comes to its bake.
func toBake(t *testing.T, seed uint64, change func(*analyze.Policy)) *story {
	t.Helper()
	p := policy(func(p *analyze.Policy) {
		p.Latency.Max = map[analyze.Quantile]analyze.Duration{0.99: analyze.Duration(50 * time.Millisecond)}
		if change != nil {
			change(p)
		}
	})
	s := beginAt(t, &p, 50, func(h *analyze.Header) { h.Plan.Bake = bakes })
	s.traffic(healthy(seed), analyze.During, time.Duration(p.MaxDuration), nil, "stage", "prod")
	if s.judge.Outcome() != analyze.Pass || s.judge.Verdict() != analyze.Inconclusive {
		t.Fatalf("seed %d: %s at half of the load, verdict %s before the bake", seed, s.judge.Outcome(), s.judge.Verdict())
	}
	return s
}

// full is the canary on its way to all of the load.
func full(seed uint64) simulated.Canary {
	c := healthy(seed + 1000)
	c.Share = 1
	return c
}

func (s *story) bake(c simulated.Canary, most time.Duration, each func(*attack.Window)) {
	s.traffic(c, analyze.Bake, most, each, "stage", "prod", "expect", "2", "absent", "1")
}

func TestBake(t *testing.T) {
	for _, tc := range []struct {
		name    string
		change  func(*simulated.Canary)
		each    func(*story, *attack.Window)
		want    analyze.Verdict
		culprit string
		words   string
		void    bool
		most    time.Duration // 0: all of it
	}{
		{"healthy", nil, nil, analyze.Promote, "", "Then version 2 carried all of the load for 8s", false, 0},
		{"fails 5 %", func(c *simulated.Canary) { c.Canary.Errors = 0.05 }, nil, analyze.Reject, "", "REJECT in the bake at 100 %, after", false, 2 * time.Second},
		{"crashes 5 %, and names no version", func(c *simulated.Canary) { c.Canary.Anonymous = 0.05 }, nil, analyze.Reject, "bake stage errors", "Server errors", false, 3 * time.Second},
		{"slower", func(c *simulated.Canary) { c.Canary.Median *= 2 }, nil, analyze.Reject, "bake p95 diff", "slower", false, 3 * time.Second},
		{"slow tail", func(c *simulated.Canary) { c.Canary.Sigma, c.Canary.Median = 1.5, 2*time.Millisecond }, nil, analyze.Reject, "bake p95 diff", "", false, 4 * time.Second},
		{"baseline after settle", func(c *simulated.Canary) { c.Share = 0.98 }, nil, analyze.Reject, "bake version", "Version 1 still answers", false, 4 * time.Second},
		{"another version", nil, func(_ *story, w *attack.Window) {
			if w.Index%40 == 0 {
				answer(w, "3", 1)
			}
		}, analyze.Reject, "bake version", "version 3", false, 5 * time.Second},
		{"stage changed", nil, func(s *story, w *attack.Window) {
			s.note(analyze.StageChanged, analyze.Bake, "what", "percent 100 -> 10")
		},
			analyze.Inconclusive, "", "stage changed under test: percent 100 -> 10", true, time.Second},
		{"throttled", nil, func(_ *story, w *attack.Window) { becomes(w, "429", attack.Throttled, 50) }, analyze.Inconclusive, "", "throttles", true, 2 * time.Second},
		{"dead at once", func(c *simulated.Canary) { c.Canary.Errors = 1 }, nil, analyze.Reject, "", "", false, time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := toBake(t, 1, nil)
			c := full(1)
			if tc.change != nil {
				tc.change(&c)
			}
			began := s.now
			s.bake(c, bakes, func(w *attack.Window) {
				if tc.each != nil {
					tc.each(s, w)
				}
			})
			took := s.now - began
			a := s.finish("verdict")
			v := a.Conclusion
			if v.Verdict != tc.want || tc.culprit != "" && v.Culprit != tc.culprit || !strings.Contains(v.Sentence, tc.words) || tc.void != (len(v.Void) > 0) {
				t.Errorf("%s by %q after %s: %s, void %q; want %s by %q, %q", v.Verdict, v.Culprit, took, v.Sentence, v.Void, tc.want, tc.culprit, tc.words)
			}
			if tc.most == 0 && took != bakes || tc.most > 0 && took > tc.most {
				t.Errorf("took %s, want at most %s (0s: all of %s)", took, tc.most, bakes)
			}
			if v.Culprit != "" && !strings.HasPrefix(v.Culprit, "bake ") {
				t.Errorf("culprit %q is none of the bake's", v.Culprit)
			}
			if last := a.Phases[len(a.Phases)-1]; last.Name != analyze.Bake || last.Expect != "2" || last.Hits == 0 || v.Requests != a.Phases[0].Hits+last.Hits {
				t.Errorf("phase %q expects %q, %d hits; %d requests in all", last.Name, last.Expect, last.Hits, v.Requests)
			}
		})
	}
}

// What the baseline answers before the canary was given all of the traffic is no straggler, though that take longer than
// settle; what it answers settle later is.
func TestBakeSettlesAfterTheChange(t *testing.T) {
	for _, tc := range []struct {
		stray time.Duration // of an answer, after the change
		want  analyze.Verdict
	}{{0, analyze.Promote}, {2 * time.Second, analyze.Promote}, {4 * time.Second, analyze.Reject}} {
		s := toBake(t, 1, nil)
		s.slow = true
		began := s.now
		s.bake(full(1), bakes, func(w *attack.Window) {
			switch since := w.End() - began - 4*time.Second; { // settle is 3s
			case since < 0:
				answer(w, "1", 50)
			case since == 0:
				s.note(analyze.PercentSet, analyze.Bake, "percent", "100")
			case since == tc.stray:
				answer(w, "1", 1)
			}
		})
		if got := s.finish("verdict").Conclusion; got.Verdict != tc.want {
			t.Errorf("an answer of the baseline %s after the change: %s", tc.stray, got.Sentence)
		}
	}
}

// fatesOfBakes bakes many releases that were good at their share, on all cores.
func fatesOfBakes(t *testing.T, n int, change func(*analyze.Policy), canary func(at, all *simulated.Canary)) (count map[analyze.Verdict]int) {
	t.Helper()
	count = map[analyze.Verdict]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for worker := range 2 {
		all.Go(func() {
			for seed := uint64(worker + 1); seed <= uint64(n); seed += 2 {
				got, reached := bakeOf(t, seed, change, canary)
				mu.Lock()
				if count[got]++; !reached { // the during phase did not promote: no bake, and nothing to count
					count[got]--
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return count
}

func bakeOf(t *testing.T, seed uint64, change func(*analyze.Policy), canary func(at, all *simulated.Canary)) (got analyze.Verdict, reached bool) {
	p := policy(func(p *analyze.Policy) {
		p.Latency.Max = map[analyze.Quantile]analyze.Duration{0.99: analyze.Duration(50 * time.Millisecond)}
		change(p)
	})
	at, all := healthy(seed), full(seed)
	canary(&at, &all)
	j, err := analyze.NewJudge(analyze.Header{Policy: &p, Budget: p.Budget(1000), Target: analyze.Target{Baseline: "1", Canary: "2", Percent: 50},
		Plan: analyze.Plan{Rate: 1000, Timeout: at.Timeout, Bake: bakes}})
	if err != nil {
		t.Error(err)
		return got, false
	}
	now := time.Duration(0)
	send := func(c simulated.Canary, phase string, most time.Duration) {
		c.Phase, c.Start = phase, now
		j.Note(analyze.Event{At: now, Phase: phase, Name: analyze.PhaseBegin, Detail: map[string]string{"expect": "2", "absent": "1"}})
		if phase == analyze.Bake {
			j.Note(analyze.Event{At: now, Phase: phase, Name: analyze.PercentSet, Detail: map[string]string{"percent": "100"}})
		}
		for w := range c.Windows() {
			j.Add(w)
			if now = w.End(); j.Settled() || now >= c.Start+most {
				break
			}
		}
		j.Note(analyze.Event{At: now, Phase: phase, Name: analyze.PhaseEnd})
	}
	send(at, analyze.During, time.Duration(p.MaxDuration))
	if j.Outcome() != analyze.Pass {
		return j.Verdict(), false
	}
	send(all, analyze.Bake, bakes)
	return j.Verdict(), true
}

// What the bake promises: a healthy release passes, one that is bad at full load alone never does, one that meets every
// bound exactly is rejected with probability beta at most, and one that breaks a single bound passes with alpha at most.
func TestBakeRates(t *testing.T) {
	for _, tc := range []struct {
		name    string
		n       int
		canary  func(at, all *simulated.Canary)
		promote promise
		reject  promise
	}{
		{"healthy", 60, func(at, all *simulated.Canary) {}, atLeast(0.97), atMost(0.05)},
		{"fails 5 % at full load alone", 30, func(at, all *simulated.Canary) { all.Canary.Errors = 0.05 }, notOne, everyOne},
		{"every bound exactly met", 60, func(at, all *simulated.Canary) {
			at.Baseline.Errors, at.Canary.Errors, all.Canary.Errors = 0.005, 0.005, 0.01
			at.Baseline.Median, at.Canary.Median = 20*time.Millisecond, 20*time.Millisecond
			all.Canary.Median = 22 * time.Millisecond // +10 %
		}, notOne, atMost(0.05)},
		{"errors exactly 1 %", 60, func(at, all *simulated.Canary) {
			at.Baseline.Errors, at.Canary.Errors, all.Canary.Errors = 0.005, 0.005, 0.01
		}, atMost(0.01), atMost(0.05)},
		{"errors exactly .5 pp more", 60, func(at, all *simulated.Canary) { all.Canary.Errors = 0.005 }, promise{}, atMost(0.05)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := tc.n
			if testing.Short() {
				n = max(n/5, 10)
			}
			got := fatesOfBakes(t, n, func(p *analyze.Policy) {
				p.Latency.Max = map[analyze.Quantile]analyze.Duration{0.99: analyze.Duration(200 * time.Millisecond)}
			}, tc.canary)
			reached := got[analyze.Promote] + got[analyze.Reject] + got[analyze.Inconclusive]
			t.Logf("%d of %d came to their bake: %v", reached, n, got)
			if reached < n/2 {
				t.Fatalf("only %d of %d came to their bake", reached, n)
			}
			if why := tc.promote.broken(got[analyze.Promote], reached); why != "" {
				t.Errorf("promoted: %s", why)
			}
			if why := tc.reject.broken(got[analyze.Reject], reached); why != "" {
				t.Errorf("rejected: %s", why)
			}
		})
	}
}
