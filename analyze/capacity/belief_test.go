package capacity

import (
	"math"
	"testing"
	"time"
)

func confirmed(rate float64, o Outcome, at time.Duration) Done {
	return Done{Trial: Trial{Rate: rate, Shortest: 10 * time.Second, Purpose: Confirm}, Outcome: o, At: at}
}

func TestBelief(t *testing.T) {
	p := Plan{Highest: 1000, Lowest: 10}.Complete()
	pass, fail := confirmed(490, Pass, 0), confirmed(510, Fail, 0)
	undecided, leaning := confirmed(500, Undecided, 0), confirmed(500, Undecided, 0)
	leaning.Leaning = Fail
	for name, c := range map[string]struct {
		done      []Done
		q         float64
		low, high float64 // of the quantile
	}{
		"nothing known, below":             {nil, 0.1, 0, 10},
		"nothing known, above":             {nil, 0.9, 1000, 1500},
		"between two that agree":           {[]Done{pass, pass, fail, fail}, 0.5, 495, 505},
		"surely not much lower":            {[]Done{pass, pass, pass, pass, fail, fail, fail}, 0.02, 480, 495},
		"surely not much higher":           {[]Done{pass, pass, pass, fail, fail, fail}, 0.98, 505, 520},
		"one that was disturbed":           {[]Done{pass, pass, pass, fail, fail, fail, confirmed(300, Fail, 0)}, 0.5, 490, 510},
		"four at one rate were not":        {[]Done{pass, pass, fail, fail, confirmed(300, Fail, 0), confirmed(300, Fail, 0), confirmed(300, Fail, 0), confirmed(300, Fail, 0)}, 0.5, 0, 301},
		"undecided at full length is near": {[]Done{undecided, undecided}, 0.5, 490, 510},
		"and lower where it leans to fail": {[]Done{leaning, leaning}, 0.5, 460, 495},
		"an invalid one tells nothing":     {[]Done{pass, pass, fail, fail, confirmed(700, Invalid, 0)}, 0.5, 495, 505},
	} {
		if got := believe(c.done, &p, 0).quantile(c.q); got < c.low || got > c.high {
			t.Errorf("%s: quantile %v at %.1f, want %v to %v", name, c.q, got, c.low, c.high)
		}
	}
}

// What all trials say as well of a capacity that stayed is no drift, though some were disturbed; what only one that moved
// explains is.
func TestDriftNeedsMoreThanDisturbedTrials(t *testing.T) {
	p := Plan{Highest: 1000, Lowest: 10}.Complete()
	trials := func(capacity func(i int) float64, disturbed ...int) (done []Done) {
		for i := range 16 {
			rate, o := 500*math.Pow(1.04, float64(i%4)-1.5), Pass
			if rate > capacity(i) {
				o = Fail
			}
			for _, n := range disturbed {
				if n == i {
					o = Fail
				}
			}
			done = append(done, confirmed(rate, o, time.Duration(i+1)*10*time.Second))
		}
		return done
	}
	steady := func(int) float64 { return 500 }
	moving := func(by float64) func(int) float64 {
		return func(i int) float64 { return 500 * math.Exp(by*(float64(i)/15-0.5)) }
	}
	for name, c := range map[string]struct {
		done []Done
		want Drift
	}{
		"steady":                   {trials(steady), Steady},
		"one disturbed":            {trials(steady, 13), Steady},
		"three disturbed":          {trials(steady, 1, 8, 13), Steady},
		"the first two disturbed":  {trials(steady, 0, 1), Steady},
		"the last three disturbed": {trials(steady, 8, 12, 13), Steady},
		"better":                   {trials(moving(0.4)), Better},
		"worse":                    {trials(moving(-0.4)), Worse},
		"worse, and one disturbed": {trials(moving(-0.4), 2), Worse},
	} {
		if got := drifts(c.done, &p); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
