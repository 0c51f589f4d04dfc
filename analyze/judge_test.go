package analyze_test

import (
	"testing"
	"time"

	"coalmine/analyze"
	"coalmine/analyze/simulated"
)

func healthy(seed uint64) simulated.Canary {
	v := simulated.Version{Name: "1", Median: 5 * time.Millisecond, Sigma: 0.5}
	c := simulated.Canary{Seed: seed, Phase: analyze.During, Rate: 1000, Share: 0.5, Arrives: 300 * time.Millisecond, Spread: 500 * time.Millisecond,
		Timeout: 10 * time.Second, Patience: time.Second, Baseline: v, Canary: v}
	c.Canary.Name = "2"
	return c
}

// judge runs a simulated canary through a whole during phase.
func judge(t *testing.T, c simulated.Canary, change func(*analyze.Policy)) analyze.Analysis {
	t.Helper()
	p := analyze.DefaultPolicy(true).Complete(0.5)
	p.Settle, p.MinDuration = analyze.Duration(3*time.Second), analyze.Duration(5*time.Second)
	if change != nil {
		change(&p)
	}
	j, err := analyze.NewJudge(analyze.Header{Policy: &p, Budget: p.Budget(float64(c.Rate)),
		Target: analyze.Target{Baseline: "1", Canary: "2", Percent: 50}, Plan: analyze.Plan{Timeout: c.Timeout}})
	if err != nil {
		t.Fatal(err)
	}
	j.Note(analyze.Event{At: c.Start, Phase: analyze.During, Name: analyze.PhaseBegin})
	j.Note(analyze.Event{At: c.Start, Name: analyze.CanaryCreated})
	j.Note(analyze.Event{At: c.Start, Name: analyze.CanaryDeployed})
	for w := range c.Windows() {
		j.Add(w)
		if j.Settled() || w.End() >= c.Start+time.Duration(p.MaxDuration) {
			j.Note(analyze.Event{At: w.End(), Phase: analyze.During, Name: analyze.PhaseEnd})
			break
		}
	}
	return j.Analysis()
}

func TestVerdicts(t *testing.T) {
	for _, tc := range []struct {
		name    string
		change  func(*simulated.Canary)
		want    analyze.Verdict
		culprit string
		within  uint64 // requests
	}{
		{"healthy", func(c *simulated.Canary) {}, analyze.Promote, "", 30_000},
		{"failing", func(c *simulated.Canary) { c.Canary.Errors = 0.05 }, analyze.Reject, "", 5000},
		{"slow", func(c *simulated.Canary) { c.Canary.Median *= 2 }, analyze.Reject, "p95", 5000},
		{"misrouted", func(c *simulated.Canary) { c.Share = 0.2 }, analyze.Reject, "split", 5000},
		{"ignored", func(c *simulated.Canary) { c.Share = 0 }, analyze.Reject, "split", 5000},
		{"dead", func(c *simulated.Canary) { c.Canary.Anonymous = 1 }, analyze.Reject, "stage errors", 700},
		{"crashing", func(c *simulated.Canary) { c.Canary.Anonymous = 0.2 }, analyze.Reject, "stage errors", 2000},
		{"other version", func(c *simulated.Canary) { c.Canary.Name = "3" }, analyze.Reject, "foreign version", 700},
		{"hanging", func(c *simulated.Canary) { c.Canary.Hang = 0.1 }, analyze.Reject, "stage errors", 20_000},
		{"baseline failing", func(c *simulated.Canary) { c.Baseline.Errors = 0.05; c.Canary.Errors = 0.05 }, analyze.Inconclusive, "", 5000},
		{"everything down", func(c *simulated.Canary) { c.Baseline.Anonymous = 1; c.Canary.Anonymous = 1 }, analyze.Inconclusive, "", 500},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for seed := range uint64(3) {
				c := healthy(seed)
				tc.change(&c)
				a := judge(t, c, nil)
				if a.Conclusion.Verdict != tc.want || len(a.Conclusion.Culprit) < len(tc.culprit) || a.Conclusion.Culprit[:len(tc.culprit)] != tc.culprit {
					t.Errorf("seed %d: %s, culprit %q, want %s, %q\n%s", seed, a.Conclusion.Verdict, a.Conclusion.Culprit, tc.want, tc.culprit, a.Conclusion.Sentence)
				}
				if a.Conclusion.Requests > tc.within {
					t.Errorf("seed %d: %d requests, want at most %d", seed, a.Conclusion.Requests, tc.within)
				}
				t.Logf("seed %d: %d requests: %s %v", seed, a.Conclusion.Requests, a.Conclusion.Sentence, a.Conclusion.Void)
				if seed == 0 {
					for _, c := range a.Checks {
						t.Logf("  %-24s %-9s %.4g to 1 of %.4g: %s", c.Name, c.Outcome, c.Evidence, c.Needed, c.Sentence)
					}
				}
			}
		})
	}
}

// An attack has no policy: its last answers are waited for as long as the client waits for any.
func TestPatienceOfAnAttack(t *testing.T) {
	j, err := analyze.NewJudge(analyze.Header{Plan: analyze.Plan{Timeout: 7 * time.Second}})
	if err != nil || j.Patience() != 7*time.Second {
		t.Errorf("%v, %v", j.Patience(), err)
	}
}
