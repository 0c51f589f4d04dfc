package capacity

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// drive runs a search on a target that answers as a function says, each trial taking its shortest time and a second.
func drive(t *testing.T, p Plan, answer func(t Trial, now time.Duration) Outcome) (*Search, Result) {
	t.Helper()
	return driveLeaning(t, p, Pass, answer)
}

// driveLeaning has what undecided trials lean to.
func driveLeaning(t *testing.T, p Plan, leaning Outcome, answer func(t Trial, now time.Duration) Outcome) (*Search, Result) {
	t.Helper()
	s, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	var now time.Duration
	for {
		trial, more := s.Next(now, time.Second)
		if !more {
			return s, s.Result()
		}
		now += trial.Shortest + time.Second
		o := answer(trial, now)
		d := Done{Trial: trial, Outcome: o, At: now, Good: trial.Rate}
		if o == Undecided {
			d.Leaning = leaning
		}
		s.Add(d)
		if len(s.done) > 200 {
			t.Fatalf("no end in sight: %+v", s.done[190:])
		}
	}
}

func knee(at float64) func(Trial, time.Duration) Outcome {
	return func(t Trial, _ time.Duration) Outcome {
		if t.Rate > at {
			return Fail
		}
		return Pass
	}
}

func TestSearchBounds(t *testing.T) {
	for _, at := range []float64{10, 31.5, 99.9, 512, 777, 960} {
		s, r := drive(t, Plan{Highest: 1000, Lowest: 10}, knee(at))
		if r.Kind != Found || r.Lower.Rate > at || r.Upper.Rate <= at || r.Width > 0.05 || !r.Lower.Proven || !r.Upper.Proven {
			t.Errorf("knee at %v: %+v, lower %+v, upper %+v", at, r, r.Lower, r.Upper)
		}
		if r.Soaked < 0.8*r.Lower.Rate && r.Soaked != 10 || r.Conditional != r.Lower.Rate {
			t.Errorf("knee at %v: soaked %v, conditional %v", at, r.Soaked, r.Conditional)
		}
		held := 0.0
		for _, d := range s.done {
			if d.Rate > max(held, 10/2)*2*1.0001 {
				t.Errorf("knee at %v: %v after %v held: more than the ramp", at, d.Rate, held)
			}
			if d.Outcome == Pass {
				held = max(held, d.Rate)
			}
		}
	}
}

func TestSearchEndings(t *testing.T) {
	type answer = func(Trial, time.Duration) Outcome
	base := Plan{Highest: 1000, Lowest: 10}
	budget := base
	budget.Budget = 30 * time.Second
	for name, c := range map[string]struct {
		plan         Plan
		answer       answer
		kind         Kind
		lower, upper float64 // 0: none
	}{
		"never fails":    {base, knee(2000), AtLeast, 1000, 0},
		"in five digits": {Plan{Highest: 20274, SoakAt: 1}, knee(1e5), AtLeast, 20274, 0},
		"always fails":   {base, knee(5), TooLow, 0, 10},
		"never decided":  {base, func(Trial, time.Duration) Outcome { return Undecided }, Unsettled, 1000, 0},
		"never sent":     {base, func(Trial, time.Duration) Outcome { return Invalid }, Generator, 0, 10},
		"out of time":    {budget, knee(500), Unfinished, 0, 0},
		"generator":      {base, worded(300, Invalid), Generator, 300, 300},
		"quota":          {base, worded(300, Limited), Quota, 300, 300},
		"too near":       {base, near(500, 0.03), Found, 500, 500},
		"quota at once":  {base, worded(5, Limited), Quota, 0, 10},
		"once throttled": {base, throttledOnce(), TooLow, 0, 10},
		"getting better": {base, moving(500, 0.003), Drifting, 0, 0},
		"getting worse":  {base, moving(500, -0.003), Drifting, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, r := drive(t, c.plan, c.answer)
			if r.Kind != c.kind {
				for _, d := range s.done {
					t.Logf("%8.1f %-8s %s", d.Rate, d.Purpose, d.Outcome)
				}
				t.Fatalf("ended as %s: %+v", r.Kind, r)
			}
			close := func(b *Bound, want float64) bool {
				if c.kind == AtLeast {
					return b == nil && want == 0 || b != nil && b.Rate == want
				}
				return want == 0 && b == nil || want > 0 && b != nil && math.Abs(b.Rate/want-1) < 0.08
			}
			if c.kind != Unfinished && c.kind != Drifting && (!close(r.Lower, c.lower) || !close(r.Upper, c.upper)) {
				t.Errorf("bounds %+v, %+v, want %v, %v", r.Lower, r.Upper, c.lower, c.upper)
			}
			if c.kind == Unfinished && (r.Stopped != OutOfTime || r.Took > c.plan.Budget) {
				t.Errorf("stopped %q after %v", r.Stopped, r.Took)
			}
			if want := map[string]Drift{"getting better": Better, "getting worse": Worse}[name]; r.Drift != want {
				t.Errorf("drift %s, want %s", r.Drift, want)
			}
		})
	}
}

// worded holds up to a rate; beyond it another outcome than Fail.
func worded(at float64, beyond Outcome) func(Trial, time.Duration) Outcome {
	return func(t Trial, now time.Duration) Outcome {
		if o := knee(at)(t, now); o != Fail {
			return o
		}
		return beyond
	}
}

// throttledOnce fails at any rate, but the first trial is throttled.
func throttledOnce() func(Trial, time.Duration) Outcome {
	answer := worded(0, Limited)
	return func(t Trial, now time.Duration) Outcome {
		defer func() { answer = knee(0) }()
		return answer(t, now)
	}
}

// near cannot be decided so near to the knee.
func near(at, share float64) func(Trial, time.Duration) Outcome {
	return func(t Trial, now time.Duration) Outcome {
		if math.Abs(math.Log(t.Rate/at)) < share {
			return Undecided
		}
		return knee(at)(t, now)
	}
}

// moving has a knee that moves by a share each second.
func moving(at, share float64) func(Trial, time.Duration) Outcome {
	return func(t Trial, now time.Duration) Outcome { return knee(at*(1+share*now.Seconds()))(t, now) }
}

// A single disturbed trial, wherever it comes, is put right by asking again; it is no drift.
func TestSearchForgivesOneDisturbedTrial(t *testing.T) {
	for _, target := range []func(Trial, time.Duration) Outcome{knee(500), near(500, 0.003)} {
		_, undisturbed := drive(t, Plan{Highest: 1000, Lowest: 10}, target)
		for bad := range undisturbed.Trials {
			n := -1
			_, r := drive(t, Plan{Highest: 1000, Lowest: 10}, func(trial Trial, now time.Duration) Outcome {
				if n++; n == bad {
					return Fail
				}
				return target(trial, now)
			})
			if r.Kind != Found || r.Lower.Rate > 500 || r.Upper.Rate <= 500 {
				t.Errorf("trial %d disturbed: %s, %+v, %+v", bad, r.Kind, r.Lower, r.Upper)
			}
		}
	}
}

// The widest interval ends at the capacity itself, where no trial decides: the upper bound is sought above it, and not taken from
// the disturbed trial below.
func TestSearchStepsOverWhatIsStuck(t *testing.T) {
	s, err := New(Plan{Highest: 2477, Lowest: 24.77})
	if err != nil {
		t.Fatal(err)
	}
	add := func(trial Trial, o Outcome) { s.Add(Done{Trial: trial, Outcome: o, Leaning: Pass}) }
	add(s.bracket(396.2), Pass)
	add(s.bracket(792.4), Fail)
	for _, rate := range []float64{709.1, 747.3, 754.6, 774.7} {
		add(s.bisect(rate, 1.1), Pass)
	}
	for _, rate := range []float64{783.7, 789.7} {
		add(s.bisect(rate, 1.1), Fail)
	}
	add(s.confirm(760.8), Fail) // disturbed
	add(s.confirm(744.4), Pass)
	s.Add(Done{Trial: s.confirm(780.9), Outcome: Undecided, Leaning: Fail})
	for range 20 {
		next, more := s.Next(0, 0)
		if !more {
			break
		}
		add(next, knee(780)(next, 0))
	}
	if r := s.Result(); r.Kind != Found || r.Lower.Rate > 780 || r.Upper.Rate <= 780 {
		t.Errorf("%s, %+v, %+v", r.Kind, r.Lower, r.Upper)
	}
}

// The highest rate that may be tried is not given up because one trial at it was left open.
func TestSearchAsksTheHighestRateAgain(t *testing.T) {
	plan := Plan{Highest: 200, Lowest: 100, Soak: -1}
	_, undisturbed := drive(t, plan, knee(500))
	for open := range undisturbed.Trials {
		n := -1
		_, r := driveLeaning(t, plan, Fail, func(Trial, time.Duration) Outcome {
			if n++; n == open {
				return Undecided
			}
			return Pass
		})
		if r.Kind != AtLeast || r.Lower.Rate != 200 {
			t.Errorf("trial %d left open: %s, %+v, %+v", open, r.Kind, r.Lower, r.Upper)
		}
	}
}

func TestStopKeepsWhatIsKnown(t *testing.T) {
	s, err := New(Plan{Highest: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		trial, _ := s.Next(0, 0)
		s.Add(Done{Trial: trial, Outcome: Pass})
	}
	s.Stop("breaker")
	s.Stop("later")
	if _, more := s.Next(0, 0); more {
		t.Error("a stopped search goes on")
	}
	if r := s.Result(); r.Kind != Unfinished || r.Stopped != "breaker" || r.Lower == nil || r.Lower.Rate != 80 || r.Lower.Proven {
		t.Errorf("%+v %+v", r, r.Lower)
	}
}

// A generator that is known to carry a rate is not its bottleneck: it is asked again, and at last nothing can be said.
func TestDisturbancesAreNoCeiling(t *testing.T) {
	n := 0
	_, r := drive(t, Plan{Highest: 1000, Lowest: 10, Carries: 2000}, func(trial Trial, now time.Duration) Outcome {
		if n++; n%6 != 0 {
			return Invalid
		}
		return knee(500)(trial, now)
	})
	if r.Kind != Found || r.Lower.Rate > 500 || r.Upper.Rate <= 500 {
		t.Errorf("disturbed five times of six: %s %+v", r.Kind, r)
	}
	_, r = drive(t, Plan{Highest: 1000, Lowest: 10, Carries: 2000}, worded(300, Invalid))
	if r.Kind != Unfinished || r.Stopped != Disturbed {
		t.Errorf("disturbed for good: %s, %q", r.Kind, r.Stopped)
	}
}

func TestPlanSaysWhatIsWrong(t *testing.T) {
	for field, p := range map[string]Plan{
		"highest rate":  {},
		"highest rate:": {Highest: 1.5e308},
		"lowest rate":   {Highest: 10, Lowest: 20},
		"goal width":    {Highest: 10, Width: 0.001},
		"ramp":          {Highest: 10, Ramp: 1},
		"trials":        {Highest: 10, Short: time.Minute},
		"soak":          {Highest: 10, SoakAt: 2},
		"budget":        {Highest: 10, Budget: -1},
		"risk":          {Highest: 10, Risk: 0.5},
		"exceed ratio":  {Highest: 10, Exceed: 1},
		"votes":         {Highest: 10, Votes: -1},
	} {
		if _, err := New(p); err == nil || !strings.HasPrefix(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestConditionalLeavesOutTheWorst(t *testing.T) {
	for _, c := range []struct {
		answered []float64
		exceed   float64
		want     float64
	}{{nil, 0.5, 0}, {[]float64{7}, 0.5, 7}, {[]float64{9, 5, 8, 7}, 0.5, 8}, {[]float64{9, 5, 8, 7}, 0.25, 7}} {
		if got := conditional(slices.Clone(c.answered), c.exceed); got != c.want {
			t.Errorf("%v at %v: %v, want %v", c.answered, c.exceed, got, c.want)
		}
	}
}

// A target that holds a rate for as long as a trial takes, but not for as long as a soak.
func TestSearchEndsWhereSoaksFail(t *testing.T) {
	s, r := drive(t, Plan{Highest: 1000, Lowest: 10}, func(t Trial, now time.Duration) Outcome {
		if t.Purpose == Soak {
			return Fail
		}
		return knee(500)(t, now)
	})
	if r.Kind != Unfinished || r.Stopped != WornOut || len(s.done) > 60 {
		t.Errorf("%s, %s, after %d trials", r.Kind, r.Stopped, len(s.done))
	}
	_, r = drive(t, Plan{Highest: 1000, Lowest: 10}, func(t Trial, now time.Duration) Outcome {
		if t.Purpose == Soak {
			return Undecided
		}
		return knee(500)(t, now)
	})
	if r.Kind != Found || r.Lower.Rate < 450 || r.Soaked != 0 {
		t.Errorf("soaks that nothing decides: %s, lower %+v, soaked %v", r.Kind, r.Lower, r.Soaked)
	}
}

// What the generator cannot send is no proof of what the target cannot carry.
func TestSearchProvesNothingByTheGenerator(t *testing.T) {
	_, r := drive(t, Plan{Highest: 1000, Lowest: 10}, func(t Trial, now time.Duration) Outcome {
		if t.Rate > 300 {
			return Invalid
		}
		return Pass
	})
	if r.Kind != Generator || !r.Lower.Proven || r.Upper.Proven || !r.Upper.Lame {
		t.Errorf("%s between %+v and %+v", r.Kind, r.Lower, r.Upper)
	}
}
