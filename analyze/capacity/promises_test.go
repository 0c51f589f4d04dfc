package capacity_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"coalmine/analyze/capacity"
)

// Whatever a target answers, and however wrongly, the search ends, keeps to its ramp and claims nothing that is not proven.
func TestSearchKeepsItsWord(t *testing.T) {
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 11))
		p := capacity.Plan{Highest: 1000 + rng.Float64(), Budget: 15 * time.Minute, Carries: 5000}
		p.Ramp = []float64{1.1, 2, 5}[rng.IntN(3)]
		p.Width = []float64{0.05, 0.5}[rng.IntN(2)]
		if rng.IntN(3) == 0 {
			p.Carries = 100
		}
		truth := []float64{5, 10.1, 60, 400, 995, 1010, 5000}[rng.IntN(7)]
		wrong, unsure, invalid, limited, worn := rng.Float64()*0.4, rng.Float64()*0.5, rng.Float64()*0.3, rng.Float64(), rng.IntN(8) == 0
		s, err := capacity.New(p)
		if err != nil {
			t.Fatal(err)
		}
		p = s.Plan()
		now, top, trials := time.Duration(0), 0.0, 0
		for {
			trial, more := s.Next(now, time.Second)
			if !more {
				break
			}
			if trial.Rate < p.Lowest || trial.Rate > p.Highest || top > 0 && trial.Rate > max(top*p.Ramp, p.Lowest)*1.001 {
				t.Fatalf("seed %d: %s at %v/s after %v/s held or seemed to: ramp %v", seed, trial.Purpose, trial.Rate, top, p.Ramp)
			}
			now += trial.Shortest + time.Second
			d := capacity.Done{Trial: trial, At: now, Outcome: capacity.Pass}
			if trial.Rate > truth || worn && trial.Purpose == capacity.Soak {
				d.Outcome = capacity.Fail
			}
			if rng.Float64() < wrong {
				d.Outcome = capacity.Pass + capacity.Fail - d.Outcome
			}
			if d.Outcome == capacity.Fail && rng.Float64() < limited/2 {
				d.Outcome, d.Allowed = capacity.Limited, min(truth, trial.Rate)*0.99
			}
			switch x := rng.Float64(); {
			case x < invalid:
				d.Outcome = capacity.Invalid
			case x < invalid+unsure:
				d.Outcome, d.Leaning = capacity.Undecided, d.Outcome
			}
			if d.Outcome == capacity.Pass || d.Outcome == capacity.Undecided && d.Leaning == capacity.Pass {
				top = max(top, d.Rate)
			}
			s.Add(d)
			if trials++; trials > 550 {
				t.Fatalf("seed %d: no end", seed)
			}
			r := s.Result()
			if r.Lower != nil && r.Upper != nil && r.Lower.Rate >= r.Upper.Rate {
				t.Fatalf("seed %d, trial %d: between %+v and %+v", seed, trials, *r.Lower, *r.Upper)
			}
		}
		switch r := s.Result(); {
		case r.Kind == capacity.Found && !(r.Lower.Proven && r.Upper.Proven):
			t.Errorf("seed %d: found between %+v and %+v", seed, *r.Lower, *r.Upper)
		case r.Kind == capacity.AtLeast && (!r.Lower.Proven || r.Lower.Rate < p.Highest):
			t.Errorf("seed %d: at least %+v of %v/s", seed, *r.Lower, p.Highest)
		case (r.Kind == capacity.TooLow || r.Kind == capacity.Quota) && !r.Upper.Proven:
			t.Errorf("seed %d: %s at %+v", seed, r.Kind, *r.Upper)
		}
	}
}
