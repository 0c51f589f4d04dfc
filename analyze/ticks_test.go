package analyze

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"coalmine/analyze/capacity"
	"coalmine/attack"
)

// course is what response times do: their mean in each window, of a hundred answers.
func course(windows int, mean func(i int) float64) (all ticks) {
	for i := range windows {
		t := all.at(int64(i), 1)
		t.successes, t.waited, t.of[0] = 100, 100*mean(i), 100
	}
	return all
}

func TestTicksGrow(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	noise := func(sd float64) float64 { return sd * rng.NormFloat64() }
	for _, c := range []struct {
		name string
		mean func(i int) float64
		want bool
	}{
		{"flat", func(int) float64 { return 0.05 + noise(0.01) }, false},
		{"one percent of overload", func(i int) float64 { return 0.05 + 0.001*float64(i) + noise(0.01) }, true},
		{"a tenth of that", func(i int) float64 { return 0.05 + 0.0001*float64(i) + noise(0.0001) }, false},
		{"falling", func(i int) float64 { return 0.3 - 0.001*float64(i) }, false},
		{"rising before, not since", func(i int) float64 { return min(0.005*float64(i), 0.2) }, false},
	} {
		if got := course(100, c.mean).grow(50, 0.005); got != c.want {
			t.Errorf("%s: grow is %v", c.name, got)
		}
	}
	if course(60, func(i int) float64 { return float64(i) }).grow(50, 0.005) {
		t.Error("a second of it is enough to say that they grow")
	}
}

// A response time that keeps a share r of what it was a tenth of a second ago is worth (1-r)/(1+r) of a look.
func TestTicksMove(t *testing.T) {
	for _, r := range []float64{0, 0.8, 0.95} {
		sum, runs := 0.0, 200
		for seed := range uint64(runs) {
			rng := rand.New(rand.NewPCG(seed, 3))
			x := 0.0
			m := course(2000, func(int) float64 {
				x = r*x + math.Sqrt(1-r*r)*rng.NormFloat64()
				return 5 + x
			}).moves()
			if sum += m.looks; math.Abs(m.mean-5) > 1 || m.sd > 1 {
				t.Fatalf("r %v, seed %d: %+v", r, seed, m)
			}
		}
		want := 2000 * (1 - r) / (1 + r)
		if got := sum / float64(runs); got < 0.85*want || got > 1.4*want {
			t.Errorf("r %v: worth %.0f looks on average, want about %.0f", r, got, want)
		}
	}
	if m := course(2000, func(i int) float64 { return float64(i) }).moves(); m.looks > batches/2 {
		t.Errorf("a straight rise is worth %v looks", m.looks)
	}
	if m := course(100, func(int) float64 { return 0.05 }).moves(); m.looks != 100 || m.sd > 1e-9 || math.Abs(m.mean-0.05) > 1e-9 {
		t.Errorf("what does not move: %+v", m)
	}
	if m := ticks(nil).moves(); m.looks != 0 {
		t.Errorf("nothing is worth %v looks", m.looks)
	}
}

// A delay that is exponential, seen as often as there are looks, is within what was seen and what may be hidden, but for the risk.
func TestMotionHides(t *testing.T) {
	const risk, share, runs = 0.01, 0.01, 5000
	truth := math.Log(1 / share)
	for _, looks := range []int{15, 30, 60} {
		beyond := 0
		for seed := range uint64(runs) {
			rng := rand.New(rand.NewPCG(seed, uint64(looks)))
			var all []float64
			var delay moments
			for range looks {
				all = append(all, rng.ExpFloat64())
				delay.add(all[len(all)-1])
			}
			slices.Sort(all)
			seen := all[int(math.Ceil((1-share)*float64(looks)))-1]
			if seen+(motion{delay.mean, math.Sqrt(delay.variance()), float64(looks)}).hidden(share, risk) < truth {
				beyond++
			}
		}
		if got := float64(beyond) / runs; got > 1.5*risk {
			t.Errorf("%d looks: beyond in %v of runs, want %v at most", looks, got, risk)
		}
	}
	if got, want := (motion{0.05, 0.01, 10}).hidden(share, risk), 0.01*truth*mostHidden; math.Abs(got-want) > 1e-9 {
		t.Errorf("10 looks hide %v s, want %v", got, want)
	}
	if got := (motion{mean: 0.05, looks: 10}).hidden(share, risk); got != 0 {
		t.Errorf("what does not move hides %v s", got)
	}
}

// A burst counts in the second that has not ended, too: it may be what a trial would fail by.
func TestTicksSeeTheLastBurst(t *testing.T) {
	all := course(48, func(int) float64 { return 0.05 })
	for i := 43; i < 48; i++ {
		all[i].bad[0] = 20
	}
	if got := all.bursts(0); got < 20 {
		t.Errorf("100 of 500 bad at once are %v times what independent ones would be, want more than 20", got)
	}
	for i := range all {
		all[i].bad[0] = 2
	}
	if got := all.bursts(0); got != 1 {
		t.Errorf("the same in every second: %v times", got)
	}
}

// load is a trial's windows, of 1,000 hits a second: how many of a window's are errors, and how long the others took.
func load(t *testing.T, j *Trial, errors func(i int) uint64, took func(i int) time.Duration) TrialReport {
	t.Helper()
	for i := 0; !j.Settled(); i++ {
		tally := &attack.Tally{Hits: 100}
		if k := errors(i); k > 0 {
			tally.Errors = map[attack.Class]uint64{attack.ServerError: k}
		}
		tally.Response.AddBin(attack.BinOf(took(i)), 100-tally.Failed())
		w := attack.Window{Index: int64(i), Start: time.Duration(i) * attack.WindowLength, Length: attack.WindowLength, Due: 100, Sent: 100, Hits: 100}
		w.Arms = map[string]*attack.Tally{"1": tally}
		if j.Add(w); i > 10_000 {
			t.Fatal("no end")
		}
	}
	return j.Report(0)
}

func TestTrialNearSaturation(t *testing.T) {
	r := DefaultRating()
	r.Objectives = objectives(t, "p99 <= 500ms", "errors <= 0.1%")
	trial := capacity.Trial{Rate: 1000, Shortest: 10 * time.Second, Longest: 40 * time.Second, Risk: 0.01, Purpose: capacity.Confirm}
	none := func(int) uint64 { return 0 }
	judge := func(trial capacity.Trial, earlier []TrialReport, errors func(int) uint64, took func(int) time.Duration) TrialReport {
		j, err := NewTrial(r, trial, earlier)
		if err != nil {
			t.Fatal(err)
		}
		return load(t, j, errors, took)
	}
	steady := func(int) time.Duration { return 50 * time.Millisecond }
	rising := func(i int) time.Duration { return time.Duration(50+i) * time.Millisecond } // 1 % of overload
	slow := func(i int) time.Duration {                                                   // up and down every 20 s
		return time.Duration(150+100*math.Sin(float64(i)*math.Pi/100)) * time.Millisecond
	}
	small := func(i int) time.Duration { return slow(i) / 10 }
	alone := judge(trial, nil, none, steady)
	if got := alone; got.Outcome != capacity.Pass || got.Took > 11*time.Second {
		t.Errorf("steady: %s after %s", got.Outcome, got.Took)
	}
	if got := judge(trial, nil, none, rising); got.Outcome != capacity.Undecided || got.Leaning != capacity.Fail {
		t.Errorf("a queue that fills up, and is not full at the end: %s, leaning %s: %s", got.Outcome, got.Leaning, got.Sentence)
	}
	if got := judge(trial, nil, none, slow); got.Outcome != capacity.Undecided || got.Leaning != capacity.Pass {
		t.Errorf("two waves: %s, leaning %s: %s", got.Outcome, got.Leaning, got.Sentence)
	} else if got.Took > 25*time.Second {
		t.Errorf("two waves: %s, though the rest cannot decide it", got.Took)
	}
	if got := judge(trial, nil, none, small); got.Outcome != capacity.Pass {
		t.Errorf("two waves far below the bound: %s: %s", got.Outcome, got.Sentence)
	}
	short := trial
	short.Shortest, short.Longest = 4*time.Second, 8*time.Second
	rng := rand.New(rand.NewPCG(1, 9))
	if got := judge(short, nil, none, func(int) time.Duration { return time.Duration(100+rng.IntN(200)) * time.Millisecond }); got.Outcome != capacity.Pass {
		t.Errorf("windows that have nothing to do with each other, in a short trial: %s: %s", got.Outcome, got.Sentence)
	}
	quick := trial
	quick.Purpose = capacity.Bisect
	if got := judge(quick, nil, none, slow); got.Outcome != capacity.Pass {
		t.Errorf("a trial that only shows where to look waits for waves: %s", got.Outcome)
	}

	// What a burst is like is known from a trial near by.
	bursts := func(i int) uint64 {
		if i%50 == 49 {
			return 20
		}
		return 0
	}
	near := trial
	near.Rate = 1020
	seen := judge(near, nil, bursts, steady)
	if len(seen.Bursts) != 2 || seen.Bursts[0] != 0 || seen.Bursts[1] < 10 {
		t.Fatalf("%s with bursts %v", seen.Outcome, seen.Bursts)
	}
	if got := judge(trial, []TrialReport{seen}, none, steady); got.Took < 2*alone.Took {
		t.Errorf("without an error so far: %s after %s", got.Outcome, got.Took)
	}
	seen.Rate = 1060
	if got := judge(trial, []TrialReport{seen}, none, steady); got.Took != alone.Took {
		t.Errorf("a trial further away: %s after %s", got.Outcome, got.Took)
	}
}
