package analyze_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"coalmine/analyze"
	"coalmine/analyze/simulated"
	"coalmine/attack"
)

// answer adds answers of a version to a window.
func answer(w *attack.Window, version string, n uint64) {
	t := &attack.Tally{Hits: n, First: w.Start, Last: w.Start}
	t.Response.AddBin(3000, n)
	t.Service.AddBin(3000, n)
	w.Merge(attack.Answers{Arms: map[string]*attack.Tally{version: t}})
	w.Due, w.Sent, w.Hits = w.Due+n, w.Sent+n, w.Hits+n
}

// moves adds hits that wait for their answer.
func moves(w *attack.Window, n uint64) {
	w.Pending += n
	w.Due += n
	w.Sent += n
}

func late(w *attack.Window, index int64, version string, n uint64) {
	t := &attack.Tally{Hits: n, First: w.Start, Last: w.Start}
	t.Response.AddBin(6000, n)
	w.Late = append(w.Late, attack.Late{Index: index, Answers: attack.Answers{Arms: map[string]*attack.Tally{version: t}}})
}

func TestBefore(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*simulated.Canary)
		each   func(*attack.Window)
		want   analyze.Outcome
		words  string
		hits   uint64 // at most
	}{
		{"healthy", nil, nil, analyze.Pass, "all of version 1", 2500},
		{"one answer of the canary", nil, func(w *attack.Window) {
			if w.Index == 7 {
				answer(w, "2", 1)
			}
		}, analyze.Fail, "1 answer came from version 2; only version 1 may answer here", 900},
		{"one late answer of the canary", nil, func(w *attack.Window) {
			if w.Index == 7 {
				moves(w, 1)
			} else if w.Index == 12 {
				late(w, 7, "2", 1)
			}
		}, analyze.Fail, "version 2", 1400},
		{"late generator", func(c *simulated.Canary) { c.Baseline.Median *= 500 }, func(w *attack.Window) {
			w.Wake = nil
			w.Wake.Add(2 * time.Second)
			w.Wake.AddBin(attack.BinOf(2*time.Second), w.Sent-1)
		}, analyze.Undecided, "load generator was late", 60_000},
		{"generator at its limit", func(c *simulated.Canary) { c.Baseline.Median *= 60 }, func(w *attack.Window) {
			w.Busy, w.Returned = attack.WindowLength, w.Hits
			w.Blocked, w.Wake = w.Wake, nil
			w.Blocked.AddBin(attack.BinOf(time.Second), 10)
		}, analyze.Undecided, "enerator-limited: this machine", 60_000},
		{"generator falls short", nil, func(w *attack.Window) {
			w.Due += 100
			w.Pending += 100
		}, analyze.Undecided, "load generator fell short", 60_000},
		{"many without an answer", nil, func(w *attack.Window) { moves(w, 2) }, analyze.Undecided, "400 of 20,400 requests have no answer that names a version", 60_000},
		{"failing", func(c *simulated.Canary) { c.Baseline.Errors = 0.05 }, nil, analyze.Fail, "errors, allowed 1.00 %", 2500},
		{"another version", func(c *simulated.Canary) { c.Baseline.Name = "3" }, nil, analyze.Fail, "version 3", 200},
		{"nobody", func(c *simulated.Canary) { c.Baseline.Hang = 1 }, nil, analyze.Fail, "100.0 % of 100 answers in 2s were errors", 60_000},
		{"no version", func(c *simulated.Canary) { c.Baseline.Anonymous = 0.02 }, nil, analyze.Fail, "errors", 60_000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := policy(nil)
			s := begin(t, &p)
			c := alone("1", 1)
			if tc.change != nil {
				tc.change(&c)
			}
			s.traffic(c, analyze.Before, 20*time.Second, tc.each, "stage", "prod", "expect", "1")
			got := s.judge.Outcome()
			a := s.finish("verdict")
			phase := a.Phases[0]
			if got != tc.want || phase.Outcome != tc.want || !strings.Contains(phase.Sentence, tc.words) || phase.Hits > tc.hits {
				t.Errorf("%s after %d: %s; want %s, %q", got, phase.Hits, phase.Sentence, tc.want, tc.words)
			}
			if a.Conclusion.Verdict != analyze.Inconclusive || (tc.want == analyze.Pass) != (len(a.Conclusion.Void) == 0) {
				t.Errorf("a run that never came to its canary: %s %q", a.Conclusion.Verdict, a.Conclusion.Void)
			}
		})
	}
}

// The bound that the before phase suggests is the same live and replayed, whatever comes after it.
func TestBeforeElsewhere(t *testing.T) {
	p := policy(nil)
	s := begin(t, &p)
	s.traffic(alone("1", 1), analyze.Before, 20*time.Second, nil, "stage", "prod", "expect", "1")
	s.traffic(alone("9", 2), analyze.Before+"/staging", 20*time.Second, nil, "stage", "staging", "expect", "2")
	a := s.finish("verdict")
	if a.Phases[0].Outcome != analyze.Pass || a.Phases[1].Outcome != analyze.Fail || len(a.Conclusion.Void) != 1 || !strings.Contains(a.Conclusion.Void[0], "stage staging before the canary") {
		t.Errorf("%s, %s: %q", a.Phases[0].Outcome, a.Phases[1].Outcome, a.Conclusion.Void)
	}
	if a.Header.Policy.Latency.Max[0.99] == 0 || p.Latency.Max != nil {
		t.Errorf("learned %v; the caller's policy has %v", a.Header.Policy.Latency.Max, p.Latency.Max)
	}
}

// Answers of a millisecond become three, and nobody is to blame. A bound that was asked for holds, as tight as it may be.
func TestBeforeSuggestsTheBound(t *testing.T) {
	fast := func(c simulated.Canary) simulated.Canary {
		c.Baseline.Median, c.Canary.Median = time.Millisecond, time.Millisecond
		return c
	}
	const from = "Allowed is 10ms more than the "
	for _, tc := range []struct {
		max  map[analyze.Quantile]analyze.Duration
		want analyze.Outcome
	}{
		{nil, analyze.Pass},
		{map[analyze.Quantile]analyze.Duration{0.99: analyze.Duration(5 * time.Millisecond)}, analyze.Fail},
	} {
		p := policy(func(p *analyze.Policy) {
			p.Latency.Max, p.Latency.Margin = tc.max, map[analyze.Quantile]analyze.Slack{}
		})
		s := begin(t, &p)
		s.traffic(fast(alone("1", 1)), analyze.Before, 20*time.Second, nil, "stage", "prod", "expect", "1")
		canary := fast(healthy(2))
		canary.Canary.Median *= 3
		s.traffic(canary, analyze.During, 20*time.Second, nil)
		a := s.finish("verdict")
		if tc.max != nil && a.Header.Policy.Latency.Max[0.99] != tc.max[0.99] {
			t.Errorf("a bound of %s became %s", tc.max[0.99], a.Header.Policy.Latency.Max[0.99])
		}
		i := slices.IndexFunc(a.Checks, func(c analyze.Check) bool { return c.Name == "p99 2" })
		if i < 0 || a.Checks[i].Outcome != tc.want || strings.Contains(a.Checks[i].Sentence, from) != (tc.max == nil) {
			t.Errorf("bound %v: %+v", tc.max, a.Checks)
		}
	}
}

// After a promote the canary alone must answer. Stragglers before the settle deadline begin the count again, later ones
// fail; what counts is when a request was due, not when its answer came.
func TestAfter(t *testing.T) {
	for _, tc := range []struct {
		name  string
		each  func(*attack.Window)
		want  analyze.Outcome
		words string
		least uint64 // hits of the phase
		most  uint64
	}{
		{"clean", func(w *attack.Window) {}, analyze.Pass, "all of version 2", 500, 1000},
		{"stragglers in time", func(w *attack.Window) {
			if w.Index < 10 {
				answer(w, "1", 5)
			}
		}, analyze.Pass, "50 answers of another version before that", 2000, 4000},
		{"a straggler that comes late", func(w *attack.Window) {
			switch w.Index {
			case 1:
				moves(w, 1)
			case 5:
				late(w, 1, "1", 1)
			}
		}, analyze.Pass, "1 answer of another version before that", 1100, 2000},
		{"due in time, answered after the deadline", func(w *attack.Window) {
			if w.Index < 28 {
				answer(w, "1", 1)
			}
			switch w.Index {
			case 25:
				moves(w, 3)
			case 33:
				late(w, 25, "1", 3)
			}
		}, analyze.Pass, "31 answers of another version before that", 3000, 6000},
		{"stragglers after the deadline", func(w *attack.Window) {
			answer(w, "1", 1)
		}, analyze.Fail, "version 1 still answers", 3000, 3300},
		{"a third version", func(w *attack.Window) {
			if w.Index == 3 {
				answer(w, "3", 1)
			}
		}, analyze.Fail, "1 answer came from version 3", 400, 402},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := policy(nil)
			s := begin(t, &p)
			s.traffic(alone("2", 5), analyze.After, 20*time.Second, tc.each, "stage", "prod", "expect", "2", "absent", "1")
			a := s.finish("verdict")
			phase := a.Phases[0]
			if phase.Outcome != tc.want || a.After != tc.want || !strings.Contains(phase.Sentence, tc.words) || phase.Hits < tc.least || phase.Hits > tc.most {
				t.Errorf("%s after %d: %s; want %s after %d to %d, %q", phase.Outcome, phase.Hits, phase.Sentence, tc.want, tc.least, tc.most, tc.words)
			}
		})
	}
}

// A run after a straggler begins empty: hits that were pending before it prove nothing of what comes after.
func TestAfterRestart(t *testing.T) {
	p := policy(func(p *analyze.Policy) { p.Settle = analyze.Duration(30 * time.Second) })
	s := begin(t, &p)
	// Every hit is pending but one a window; the late answers are all of windows before the last straggler.
	s.traffic(alone("1", 5), analyze.After, 5*time.Second, func(w *attack.Window) {
		i := w.Index
		*w = attack.Window{Phase: w.Phase, Index: i, Start: w.Start, Length: w.Length}
		answer(w, "1", 1)
		moves(w, 99)
		switch {
		case i == 10:
			answer(w, "2", 1)
		case i > 10 && i <= 20:
			late(w, i-11, "1", 99)
		}
	}, "expect", "1", "absent", "2")
	if s.judge.Outcome() == analyze.Pass {
		t.Errorf("passed on answers from before the last straggler: %s", s.judge.Analysis().Phases[0].Sentence)
	}
}

// After a rollback the old version alone must answer; its health is not the release's business.
func TestAfterRollback(t *testing.T) {
	p := policy(nil)
	s := begin(t, &p)
	c := alone("1", 5)
	c.Baseline.Errors = 0.05
	s.traffic(c, analyze.After, 20*time.Second, func(w *attack.Window) {
		if w.Index < 5 {
			answer(w, "2", 3)
			answer(w, "3", 1)
		}
	}, "stage", "prod", "expect", "1", "absent", "2")
	if a := s.finish("verdict"); a.After != analyze.Pass {
		t.Errorf("%s: %s", a.After, a.Phases[0].Sentence)
	}
}
