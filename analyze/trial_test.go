package analyze

import (
	"strings"
	"testing"
	"time"

	"coalmine/analyze/capacity"
	"coalmine/analyze/simulated"
	"coalmine/attack"
)

func objectives(t *testing.T, texts ...string) (all []Objective) {
	t.Helper()
	for _, text := range texts {
		var o Objective
		if err := o.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

func TestObjectivesAreReadAsTheyAreSaid(t *testing.T) {
	for text, want := range map[string]string{
		"p99 <= 250ms": "p99 <= 250ms", "p99.9<=1s": "p99.9 <= 1s", "errors<=0.1%": "errors <= 0.1%", " errors  <=  5 % ": "errors <= 5%",
	} {
		if got := objectives(t, text)[0].String(); got != want {
			t.Errorf("%q reads as %q, want %q", text, got, want)
		}
	}
	for text, part := range map[string]string{
		"p99 < 250ms": "want a bound like", "": "want a bound like", "p99 <= 250": "want a time above 0", "p99 <= 0s": "want a time above 0",
		"p100 <= 1s": "p1 to p99.99", "rps <= 5": "left of", "errors <= 1": "want a percentage", "errors <= 0%": "above 0%", "errors <= 100%": "below 100%",
	} {
		var o Objective
		if err := o.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %v, want %q", text, err, part)
		}
	}
	if err := CheckObjectives(nil); err == nil {
		t.Error("no objective is fine")
	}
	if err := CheckObjectives(objectives(t, "p99 <= 1s", "p99 <= 2s")); err == nil || !strings.Contains(err.Error(), "the same") {
		t.Errorf("two bounds of p99: %v", err)
	}
	if err := CheckObjectives(objectives(t, "p99 <= 1s", "p95 <= 500ms", "errors <= 1%")); err != nil {
		t.Error(err)
	}
}

// judged runs a trial on a simulated stage.
func judged(t *testing.T, r Rating, stage simulated.Canary, change func(*attack.Window)) TrialReport {
	t.Helper()
	trial := capacity.Trial{Rate: float64(stage.Rate), Shortest: 4 * time.Second, Longest: 12 * time.Second, Risk: 0.01, Purpose: capacity.Confirm}
	j, err := NewTrial(r, trial, nil)
	if err != nil {
		t.Fatal(err)
	}
	for w := range stage.Windows() {
		if change != nil {
			change(&w)
		}
		if j.Add(w); j.Settled() {
			return j.Report(w.End())
		}
	}
	t.Fatal("no window left")
	return TrialReport{}
}

// What was sent again in a trial is in its report, and the search says it of all.
func TestTrialSentAgain(t *testing.T) {
	rating := DefaultRating()
	rating.Objectives = objectives(t, "errors <= 1%")
	good := simulated.Version{Name: "1", Median: 20 * time.Millisecond, Sigma: 0.5}
	stage := simulated.Canary{Seed: 1, Rate: 1000, Timeout: 10 * time.Second, Patience: time.Second, Baseline: good, Canary: good}
	trial := judged(t, rating, stage, func(w *attack.Window) {
		if w.Index%10 == 0 {
			w.Resent = 2
		}
	})
	if trial.Resent < 4 || trial.Resent%2 != 0 {
		t.Errorf("%d sent again", trial.Resent)
	}
	rating.Search = capacity.Plan{Lowest: 10, Highest: 1000}.Complete()
	done := capacity.Done{Trial: capacity.Trial{Rate: 100}}
	trials := []TrialReport{{Done: done, Resent: 2}, {Done: done}, {Done: done, Resent: 1}}
	rated, err := Rate(Header{}, rating, trials, nil, End{})
	if err != nil || len(rated.Notes) != 1 || !strings.HasPrefix(rated.Notes[0], "3 requests were sent again ") {
		t.Errorf("%q, %v", rated.Notes, err)
	}
	trials[1].Rate = -1
	if _, err := Rate(Header{}, rating, trials, nil, End{}); err == nil || !strings.HasPrefix(err.Error(), "run file: trial 2: want a rate ") {
		t.Errorf("a rate below 0: %v", err)
	}
}

func TestTrialOutcomes(t *testing.T) {
	good := simulated.Version{Name: "1", Median: 20 * time.Millisecond, Sigma: 0.5, Errors: 0.0002}
	healthy := simulated.Canary{Seed: 1, Rate: 1000, Share: 0.1, Timeout: 10 * time.Second, Patience: time.Second, Baseline: good, Canary: good}
	healthy.Canary.Name = "2"
	with := func(change func(*simulated.Canary)) simulated.Canary {
		c := healthy
		change(&c)
		return c
	}
	rating := DefaultRating()
	rating.Objectives = objectives(t, "p99 <= 250ms", "errors <= 1%")
	rating.Target = Target{Baseline: "1", Canary: "2"}
	canary := rating
	canary.Arm, canary.Version = ArmCanary, "2"
	throttled := func(w *attack.Window) {
		for _, tally := range w.Arms {
			tally.Errors = map[attack.Class]uint64{attack.Throttled: tally.Hits / 20}
		}
	}
	late := func(w *attack.Window) { w.Wake = attack.Histogram{{Bin: attack.BinOf(time.Second), Count: w.Sent}} }
	standstill := func(w *attack.Window) { // half a second in which nothing goes out, and what did is answered late
		if i := w.Index % 30; i < 5 {
			late(w)
		}
		if i := w.Index % 30; i < 6 || i == 29 {
			for _, tally := range w.Arms {
				tally.Response = attack.Histogram{{Bin: attack.BinOf(time.Second), Count: tally.Hits - tally.Failed()}}
			}
		}
	}
	for name, c := range map[string]struct {
		rating Rating
		stage  simulated.Canary
		change func(*attack.Window)
		want   capacity.Outcome
		says   string
	}{
		"healthy":             {rating, healthy, nil, capacity.Pass, "p99"},
		"slow":                {rating, with(func(c *simulated.Canary) { c.Baseline.Median = 120 * time.Millisecond }), nil, capacity.Fail, "p99"},
		"hanging":             {rating, with(func(c *simulated.Canary) { c.Baseline.Hang = 0.05 }), nil, capacity.Fail, "p99"},
		"erring":              {rating, with(func(c *simulated.Canary) { c.Baseline.Errors = 0.03 }), nil, capacity.Fail, "errors"},
		"throttled":           {rating, healthy, throttled, capacity.Limited, "429"},
		"slow, sent late":     {rating, with(func(c *simulated.Canary) { c.Baseline.Median = 120 * time.Millisecond }), late, capacity.Invalid, "late"},
		"good, sent late":     {rating, healthy, late, capacity.Invalid, "late"},
		"standing still":      {rating, healthy, standstill, capacity.Pass, "p99"},
		"short":               {rating, healthy, func(w *attack.Window) { w.Sent /= 2 }, capacity.Invalid, "fell short"},
		"near the bound":      {rating, with(func(c *simulated.Canary) { c.Baseline.Errors, c.Canary.Errors = 0.0096, 0.0096 }), nil, capacity.Undecided, "errors"},
		"collapsed":           {rating, with(func(c *simulated.Canary) { c.Baseline.Errors = 0.9 }), nil, capacity.Fail, "circuit breaker"},
		"canary slow, stage":  {rating, with(func(c *simulated.Canary) { c.Canary.Median, c.Share = 200*time.Millisecond, 0.5 }), nil, capacity.Fail, "p99"},
		"canary slow, canary": {canary, with(func(c *simulated.Canary) { c.Canary.Median = 200 * time.Millisecond }), nil, capacity.Fail, "p99"},
		"canary healthy": {canary, with(func(c *simulated.Canary) {
			c.Baseline.Median, c.Baseline.Errors, c.Rate = 200*time.Millisecond, 0.05, 3000
		}), nil, capacity.Pass, "p99"},
		"canary overloaded": {canary, with(func(c *simulated.Canary) { c.Canary.Anonymous = 0.6 }), nil, capacity.Fail, "errors"},
	} {
		t.Run(name, func(t *testing.T) {
			r := judged(t, c.rating, c.stage, c.change)
			if r.Outcome != c.want || !strings.Contains(r.Sentence, c.says) {
				t.Errorf("%s after %s (%s), want %s with %q", r.Outcome, r.Took, r.Sentence, c.want, c.says)
			}
			if name == "standing still" && (r.Arms[0].Rate < 995 || r.Arms[0].Rate > 1005 || r.Good > 1000) {
				t.Errorf("the stage's rate is %.1f, of good answers %.1f, want 1000", r.Arms[0].Rate, r.Good)
			}
			if (r.Breaker != "") != (name == "collapsed") {
				t.Errorf("breaker %q", r.Breaker)
			}
			if r.Outcome == capacity.Pass && r.Took < 4*time.Second || r.Breaker == "" && r.Outcome != capacity.Invalid && len(r.Arms) < 3 || r.Arms[0].Name != ArmStage {
				t.Errorf("%s after %s, arms %+v", r.Outcome, r.Took, r.Arms)
			}
		})
	}
}

// A quota is told from what breaks objectives also where requests are few, and what only fails never seems to hold.
func TestTrialOfFewRequests(t *testing.T) {
	all := func(class attack.Class, of uint64) func(*attack.Window) {
		return func(w *attack.Window) {
			for _, tally := range w.Arms {
				bad := tally.Hits
				if w.Index%10 >= int64(of) {
					bad = 0
				}
				tally.Errors = map[attack.Class]uint64{class: bad}
				if bad > 0 {
					tally.Response = nil
				}
			}
		}
	}
	good := simulated.Version{Name: "1", Median: 20 * time.Millisecond, Sigma: 0.5}
	few := simulated.Canary{Seed: 1, Rate: 15, Share: 0, Timeout: 10 * time.Second, Patience: time.Second, Baseline: good, Canary: good}
	for name, c := range map[string]struct {
		objectives []string
		change     func(*attack.Window)
		want, lean capacity.Outcome
	}{
		"nothing but 429, errors":     {[]string{"errors <= 1%"}, all(attack.Throttled, 10), capacity.Limited, 0},
		"429 in four of ten, errors":  {[]string{"errors <= 1%"}, all(attack.Throttled, 4), capacity.Limited, 0},
		"429 in four of ten, latency": {[]string{"p99 <= 250ms"}, all(attack.Throttled, 4), capacity.Limited, 0},
		"500 in four of ten, errors":  {[]string{"errors <= 1%"}, all(attack.ServerError, 4), capacity.Fail, 0},
		"nothing but 500, latency":    {[]string{"p99 <= 250ms"}, all(attack.ServerError, 10), capacity.Undecided, capacity.Fail},
		"good":                        {[]string{"p99 <= 250ms"}, nil, capacity.Undecided, capacity.Pass},
	} {
		r := DefaultRating()
		r.Objectives, r.Breaker.MinHits = objectives(t, c.objectives...), 1e9
		if got := judged(t, r, few, c.change); got.Outcome != c.want || got.Leaning != c.lean {
			t.Errorf("%s: %s, leaning %s (%s), want %s, %s", name, got.Outcome, got.Leaning, got.Sentence, c.want, c.lean)
		}
	}
}

// A bound on errors does not care when requests were sent.
func TestTrialOfErrorsIsNotLate(t *testing.T) {
	good := simulated.Version{Name: "1", Median: 20 * time.Millisecond, Sigma: 0.5}
	stage := simulated.Canary{Seed: 1, Rate: 1000, Share: 0, Timeout: 10 * time.Second, Patience: time.Second, Baseline: good, Canary: good}
	late := func(w *attack.Window) {
		w.Wake = attack.Histogram{{Bin: attack.BinOf(50 * time.Millisecond), Count: w.Sent}}
	}
	for objective, want := range map[string]capacity.Outcome{"errors <= 1%": capacity.Pass, "p99 <= 250ms": capacity.Invalid} {
		r := DefaultRating()
		r.Objectives = objectives(t, objective)
		if got := judged(t, r, stage, late); got.Outcome != want {
			t.Errorf("%s: %s (%s), want %s", objective, got.Outcome, got.Sentence, want)
		}
	}
}

func TestRatingPlans(t *testing.T) {
	r := Rating{Objectives: objectives(t, "p99 <= 250ms", "errors <= 0.1%")}
	for budget, want := range map[time.Duration]time.Duration{0: 40 * time.Second, 10 * time.Minute: 50 * time.Second, time.Hour: 5 * time.Minute} {
		if got := r.Longest(capacity.Plan{Budget: budget}.Complete()); got != want {
			t.Errorf("trials take %s at most of %s, want %s", got, budget, want)
		}
	}
	slow := Rating{Objectives: objectives(t, "p99 <= 1s")}
	if got := slow.Longest(capacity.Plan{}.Complete()); got != 2*time.Minute {
		t.Errorf("trials take %s at most where a second is allowed, want 2m", got)
	}
	if got := r.Hits(0.01); got < 5000 || got > 6000 {
		t.Errorf("%d hits, want some 5,500", got)
	}
	if got := r.Patience(); got != time.Second {
		t.Errorf("patience %s", got)
	}
}

// A trial counts nothing of windows in which this machine stood still, of those before and after them, and of their late
// answers; the last window only where none can come after it. Each window has a bit of its own as its hits, and its late ones
// another, 16 higher.
func TestTrialLeavesOut(t *testing.T) {
	errors, latency := []string{"errors <= 1%"}, []string{"p99 <= 250ms"}
	hits := func(n uint64) attack.Answers {
		return attack.Answers{Arms: map[string]*attack.Tally{"1": {Hits: n, Response: attack.Histogram{{Bin: 1, Count: n}}}}}
	}
	for name, c := range map[string]struct {
		objectives []string
		late       string // a digit a window: how many of its 20 requests
		by         time.Duration
		longest    int // windows
		want       string
	}{
		"nothing is late":                   {errors, "000000000", time.Second, 16, "11111111_"},
		"nothing comes after":               {errors, "000000000", time.Second, 9, "111111111"},
		"one of twenty is allowed":          {errors, "111111111", time.Second, 9, "111111111"},
		"neighbours":                        {errors, "000020000", time.Second, 9, "111___111"},
		"first and last":                    {errors, "200000002", time.Second, 9, "__11111__"},
		"two apart share their neighbours":  {errors, "000202000", time.Second, 9, "11_____11"},
		"two in a row":                      {errors, "000990000", time.Second, 9, "11____111"},
		"in the one after":                  {errors, "002002000", time.Second, 9, "1______11"},
		"after the end":                     {errors, "000000020", time.Second, 9, "111111___"},
		"a window is not late to errors":    {errors, "000090000", 90 * time.Millisecond, 9, "111111111"},
		"a tenth of the bound is to it":     {latency, "000090000", 26 * time.Millisecond, 9, "111___111"},
		"less than a tenth of it is not so": {latency, "000090000", 24 * time.Millisecond, 9, "111111111"},
	} {
		r := DefaultRating()
		r.Objectives, r.WarmUp = objectives(t, c.objectives...), 0
		longest := time.Duration(c.longest) * attack.WindowLength
		j, err := NewTrial(r, capacity.Trial{Rate: 200, Shortest: longest, Longest: longest, Risk: 0.01}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, late := range c.late {
			w := attack.Window{Index: int64(i), Start: time.Duration(i) * attack.WindowLength, Length: attack.WindowLength,
				Due: 20, Sent: 20, Hits: 1 << i, Answers: hits(1 << i)}
			w.Wake.AddBin(attack.BinOf(c.by), uint64(late-'0'))
			w.Wake.AddBin(0, 20-uint64(late-'0'))
			if i >= 2 {
				w.Late = []attack.Late{{Index: int64(i - 2), Answers: hits(1 << (i - 2 + 16))}}
			}
			j.Add(w)
		}
		counted := j.Report(0).Arms[0].Hits
		var got, late strings.Builder
		for i := range c.late {
			got.WriteByte("_1"[counted>>i&1])
			late.WriteByte("_1"[counted>>(i+16)&1])
		}
		if got.String() != c.want {
			t.Errorf("%s: windows %s count of %s, want %s", name, &got, c.late, c.want)
		}
		const told = 6 // by windows of which it is certain that they were counted or left out
		if late.String()[:told] != c.want[:told] {
			t.Errorf("%s: late answers of %s count of %s, want of %s", name, &late, c.late, c.want[:told])
		}
	}
}
