package analyze

import (
	"math"
	"testing"
	"time"

	"coalmine/analyze/capacity"
	"coalmine/attack"
)

// A quota of 300/s that holds 150 is a token bucket: what it lets through does not depend on the load, and what it held carries
// a load that is a little too high for a while.
func TestTrialMeetsQuota(t *testing.T) {
	r := DefaultRating()
	r.Objectives = objectives(t, "p99 <= 250ms", "errors <= 1%")
	bucket := func(rate, allowed, held float64) (errors func(int) uint64) {
		return func(int) uint64 {
			held = min(held+allowed/10, 150+allowed/10)
			let := min(rate/10, held)
			held -= let
			return uint64(math.Round(rate/10 - let))
		}
	}
	meet := func(trial capacity.Trial, allowed float64, earlier ...TrialReport) TrialReport {
		j, err := NewTrial(r, trial, earlier)
		if err != nil {
			t.Fatal(err)
		}
		refused := bucket(trial.Rate, allowed, 150)
		for i := 0; !j.Settled(); i++ {
			due := uint64(trial.Rate / 10)
			tally := &attack.Tally{Hits: due}
			if k := refused(i); k > 0 {
				tally.Errors = map[attack.Class]uint64{attack.Throttled: k}
			}
			tally.Response.AddBin(attack.BinOf(20*time.Millisecond), due-tally.Failed())
			w := attack.Window{Index: int64(i), Start: time.Duration(i) * attack.WindowLength, Length: attack.WindowLength, Due: due, Sent: due, Hits: due}
			w.Arms = map[string]*attack.Tally{"1": tally}
			j.Add(w)
		}
		return j.Report(0)
	}
	short := capacity.Trial{Shortest: 2 * time.Second, Longest: 2 * time.Second, Risk: 0.05, Purpose: capacity.Bracket}
	full := capacity.Trial{Shortest: 10 * time.Second, Longest: 40 * time.Second, Risk: 0.01, Purpose: capacity.Confirm}
	at := func(trial capacity.Trial, rate float64) capacity.Trial {
		trial.Rate = rate
		return trial
	}
	var earlier []TrialReport
	for _, rate := range []float64{400, 640} {
		got := meet(at(short, rate), 300)
		if got.Outcome != capacity.Limited || math.Abs(got.Allowed-300) > 6 || got.Burst < 140 || got.Burst > 230 {
			t.Errorf("%v/s: %s, lets %v/s through after %v: %s", rate, got.Outcome, got.Allowed, got.Burst, got.Sentence)
		}
		earlier = append(earlier, got)
	}
	if got := meet(at(short, 320), 300); got.Outcome != capacity.Pass || got.Allowed != 0 {
		t.Errorf("a burst carries 320/s for three seconds: %s: %s", got.Outcome, got.Sentence)
	}
	if got := meet(at(short, 320), 300, earlier...); got.Outcome != capacity.Undecided || got.Leaning != capacity.Fail {
		t.Errorf("the same, when the quota is known: %s, leaning %s: %s", got.Outcome, got.Leaning, got.Sentence)
	}
	if got := meet(at(full, 310), 300); got.Outcome != capacity.Pass {
		t.Errorf("a burst carries 310/s for eleven seconds: %s: %s", got.Outcome, got.Sentence)
	}
	if got := meet(at(full, 310), 300, earlier...); got.Outcome != capacity.Limited || math.Abs(got.Allowed-300) > 3 {
		t.Errorf("and no longer: %s, lets %v/s through: %s", got.Outcome, got.Allowed, got.Sentence)
	}
	if got := meet(at(full, 300), 300, earlier...); got.Outcome != capacity.Pass || got.Took > 11*time.Second {
		t.Errorf("at the quota: %s after %s: %s", got.Outcome, got.Took, got.Sentence)
	}
	if got := meet(at(full, 310), 330, earlier...); got.Outcome != capacity.Pass {
		t.Errorf("a quota that was raised since: %s: %s", got.Outcome, got.Sentence)
	}
}
