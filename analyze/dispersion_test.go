package analyze_test

import (
	"strings"
	"testing"
	"time"

	"coalmine/analyze"
	"coalmine/attack"
)

func noted(a analyze.Analysis, words string) bool {
	for _, note := range a.Notes {
		if strings.Contains(note, words) {
			return true
		}
	}
	return false
}

// failing turns some of a version's successes into errors.
func failing(w *attack.Window, version string, class attack.Class, n uint64) {
	t := w.Arms[version]
	if t == nil || t.Response.Total() < n || n == 0 {
		return
	}
	t.Errors = map[attack.Class]uint64{class: n}
	for _, h := range []*attack.Histogram{&t.Response, &t.Service} {
		for left := n; left > 0; left-- {
			if last := len(*h) - 1; (*h)[last].Count == 1 {
				*h = (*h)[:last]
			} else {
				(*h)[last].Count--
			}
		}
	}
}

// long is the during phase of a healthy canary that lasts so long, but for what each does to its windows.
func long(t *testing.T, seconds int, each func(*attack.Window)) analyze.Analysis {
	t.Helper()
	p := policy(func(p *analyze.Policy) {
		p.MaxDuration = analyze.Duration(time.Duration(seconds) * time.Second)
		p.MinDuration = p.MaxDuration - analyze.Duration(2*time.Second)
		p.Errors.Max, p.Errors.Margin = 0.02, 1
	})
	s := begin(t, &p)
	s.traffic(healthy(1), analyze.During, time.Duration(p.MaxDuration), each, "stage", "prod")
	return s.finish("budget")
}

// Errors that come in bursts do not change the verdict, and are said; steady ones are not.
func TestBurstsAreNoted(t *testing.T) {
	for _, tc := range []struct {
		name   string
		errors func(second int64) uint64 // a window, of each version
		noted  bool
	}{
		{"none", func(int64) uint64 { return 0 }, false},
		{"in every eighth second", func(second int64) uint64 {
			if second%8 == 7 {
				return 2
			}
			return 0
		}, true},
	} {
		a := long(t, 40, func(w *attack.Window) {
			for _, version := range []string{"1", "2"} {
				failing(w, version, attack.ServerError, tc.errors(w.Index/10))
			}
		})
		if noted(a, "Errors came in bursts") != tc.noted {
			t.Errorf("%s: %s, notes %q", tc.name, a.Conclusion.Verdict, a.Notes)
		}
	}
}

// Routing in blocks, as a cache makes it, voids the measurement even where its mean is right.
func TestCachedRouting(t *testing.T) {
	a := long(t, 40, func(w *attack.Window) {
		whole := new(attack.Tally)
		for _, t := range w.Arms {
			whole.Merge(t)
		}
		w.Arms = map[string]*attack.Tally{[]string{"1", "2"}[w.Index%2]: whole}
		w.Turns = attack.Turns{}
	})
	if a.Conclusion.Verdict != analyze.Inconclusive || len(a.Conclusion.Void) == 0 || !strings.Contains(a.Conclusion.Void[0], "routing is cached or comes in blocks") {
		t.Errorf("%s, void %q: %s", a.Conclusion.Verdict, a.Conclusion.Void, a.Conclusion.Sentence)
	}
}

// A canary that was good and is no longer does not pass on what it earned.
func TestLastHalf(t *testing.T) {
	for _, tc := range []struct {
		name   string
		errors uint64 // of about 50 answers a window, from 160 s of 200 s on
		want   analyze.Verdict
	}{{"stays good", 0, analyze.Promote}, {"goes bad", 2, analyze.Inconclusive}} {
		a := long(t, 200, func(w *attack.Window) {
			if w.Index >= 1600 {
				failing(w, "2", attack.ClientError, tc.errors)
			}
		})
		if a.Conclusion.Verdict != tc.want {
			t.Errorf("%s: %s, %q: %s", tc.name, a.Conclusion.Verdict, a.Conclusion.Culprit, a.Conclusion.Sentence)
		}
		if tc.want == analyze.Inconclusive && !strings.Contains(a.Conclusion.Sentence, "its last half alone would fail") {
			t.Errorf("%s: %s", tc.name, a.Conclusion.Sentence)
		}
	}
}

// Gateway errors that may be anybody's keep a good canary from passing, unless the policy takes them to be independent
// of the version; then the report says what that rests on.
func TestUnattributedIndependent(t *testing.T) {
	for _, tc := range []struct {
		unattributed string
		want         analyze.Verdict
	}{{analyze.WorstCase, analyze.Inconclusive}, {analyze.Independent, analyze.Promote}} {
		p := policy(func(p *analyze.Policy) {
			p.Unattributed, p.MaxDuration = tc.unattributed, analyze.Duration(30*time.Second)
		})
		s := begin(t, &p)
		c := healthy(1)
		c.Baseline.Anonymous, c.Canary.Anonymous = 0.004, 0.004
		s.traffic(c, analyze.During, time.Duration(p.MaxDuration), nil, "stage", "prod")
		a := s.finish("verdict")
		if a.Conclusion.Verdict != tc.want || noted(a, "do not depend on the version") != (tc.want == analyze.Promote) {
			t.Errorf("%s: %s: %s %q", tc.unattributed, a.Conclusion.Verdict, a.Conclusion.Sentence, a.Notes)
		}
	}
	// Being independent is no excuse: a canary whose own crashes are anonymous is rejected all the same.
	p := policy(func(p *analyze.Policy) { p.Unattributed = analyze.Independent })
	s := begin(t, &p)
	c := healthy(1)
	c.Canary.Anonymous = 0.2
	s.traffic(c, analyze.During, time.Duration(p.MaxDuration), nil, "stage", "prod")
	if a := s.finish("verdict"); a.Conclusion.Verdict != analyze.Reject {
		t.Errorf("crashing: %s: %s", a.Conclusion.Verdict, a.Conclusion.Sentence)
	}
}

// Errors in bursts count for less where the policy allows for them; independent ones count as ever.
func TestRobust(t *testing.T) {
	evidence := func(robust string, errors func(second int64) uint64) float64 {
		p := policy(func(p *analyze.Policy) {
			p.Robust = robust
			p.MinDuration, p.MaxDuration = analyze.Duration(39*time.Second), analyze.Duration(40*time.Second)
		})
		s := begin(t, &p)
		s.traffic(healthy(1), analyze.During, time.Duration(p.MaxDuration), func(w *attack.Window) {
			for _, version := range []string{"1", "2"} {
				failing(w, version, attack.ServerError, errors(w.Index/10))
			}
		}, "stage", "prod")
		for _, c := range s.finish("budget").Checks {
			if c.Name == "errors 2" {
				return c.Evidence
			}
		}
		t.Fatal("no check of the canary's errors")
		return 0
	}
	none := func(int64) uint64 { return 0 }
	bursts := func(second int64) uint64 {
		if second%8 == 7 {
			return 1
		}
		return 0
	}
	if plain, robust := evidence(analyze.NotRobust, none), evidence(analyze.Blocks, none); plain != robust {
		t.Errorf("without errors: %v plain, %v robust", plain, robust)
	}
	if plain, robust := evidence(analyze.NotRobust, bursts), evidence(analyze.Blocks, bursts); !(robust > 1 && robust < plain/10) {
		t.Errorf("with bursts: %v plain, %v robust; want less, and still something", plain, robust)
	}
}
