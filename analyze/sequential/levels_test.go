package sequential

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// What is out of range is named.
func TestConstructorErrors(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	newSplit := func(share, margin float64, l Levels) error { _, err := NewSplit(share, margin, l); return err }
	newTurns := func(share, margin float64, l Levels) error { _, err := NewTurns(share, margin, l); return err }
	newSticky := func(l Levels) error { _, err := NewSticky(l); return err }
	newBound := func(theta float64, l Levels) error { _, err := NewBound(theta, l); return err }
	newStage := func(theta float64, l Levels, horizon int) error {
		_, err := NewStageErrors(theta, l, horizon)
		return err
	}
	newDifference := func(share, margin float64, before *Rate, l Levels) error {
		_, err := NewDifference(share, margin, before, l)
		return err
	}
	newQuantile := func(p float64, m Margin, tail, quantile float64, g Geometry, l Levels) error {
		_, err := NewQuantile(p, m, tail, quantile, g, l)
		return err
	}
	newCleanRun := func(epsilon, alpha float64) error { _, err := NewCleanRun(epsilon, alpha); return err }
	newBeta := func(a, b float64) error { _, err := NewBetaSequence(a, b); return err }
	ratio := Margin{Ratio: .1}
	for _, c := range []struct {
		err   error
		names string
	}{
		{newSplit(0, .03, nominal), "share 0 "},
		{newSplit(1, .03, nominal), "share 1 "},
		{newSplit(nan, .03, nominal), "share NaN "},
		{newSplit(.5, 0, nominal), "margin 0 "},
		{newSplit(.5, -.1, nominal), "margin -0.1 "},
		{newSplit(.5, nan, nominal), "margin NaN "},
		{newSplit(.5, .5, nominal), "margin 0.5 "},
		{newSplit(.3, .3, nominal), "margin 0.3 "},
		{newSplit(.9, .1, nominal), "margin 0.1 "},
		{newSplit(.01, .02, nominal), "margin 0.02 "},
		{newSplit(.5, .03, Levels{0, .05, 1}), "alpha 0 "},
		{newSplit(.5, .03, Levels{.05, 1, 1}), "beta 1 "},
		{newSplit(.5, .03, Levels{nan, .05, 1}), "alpha NaN "},
		{newSplit(.5, .03, Levels{.05, .05, 0}), "budget 0 "},
		{newTurns(.5, .5, nominal), "margin 0.5 "},
		{newTurns(.5, .03, Levels{.05, -1, 1}), "beta -1 "},
		{newSticky(Levels{.05, 1, 1}), "beta 1 "},
		{newBound(0, nominal), "theta 0 "},
		{newBound(1, nominal), "theta 1 "},
		{newBound(nan, nominal), "theta NaN "},
		{newBound(.01, Levels{.05, inf, 1}), "beta +Inf "},
		{newStage(-1, nominal, 1), "theta -1 "},
		{newStage(.01, nominal, -1), "horizon -1 "},
		{newStage(.01, nominal, 1<<30), "horizon 1073741824 "},
		{newStage(.01, Levels{2, .05, 1}, 1), "alpha 2 "},
		{newDifference(0, .005, nil, nominal), "share 0 "},
		{newDifference(.5, 0, nil, nominal), "margin 0 "},
		{newDifference(.5, -.005, nil, nominal), "margin -0.005 "},
		{newDifference(.5, .7, nil, nominal), "margin 0.7 "},
		{newDifference(.5, nan, nil, nominal), "margin NaN "},
		{newDifference(.5, .005, &Rate{5, 3}, nominal), "before holds 5 errors of 3 "},
		{newDifference(.5, .005, nil, Levels{.05, .05, 0}), "budget 0 "},
		{newQuantile(0, ratio, 4, 0, DefaultGeometry, nominal), "p 0 "},
		{newQuantile(nan, ratio, 4, 0, DefaultGeometry, nominal), "p NaN "},
		{newQuantile(.95, Margin{}, 4, 0, DefaultGeometry, nominal), "margin 0 x"},
		{newQuantile(.95, Margin{Ratio: -.1, AddNS: 1}, 4, 0, DefaultGeometry, nominal), "margin -0.1 x"},
		{newQuantile(.95, Margin{AddNS: nan}, 4, 0, DefaultGeometry, nominal), "NaN ns"},
		{newQuantile(.95, Margin{Ratio: inf}, 4, 0, DefaultGeometry, nominal), "margin +Inf x"},
		{newQuantile(.95, ratio, 13, 0, DefaultGeometry, nominal), "tail index 13 "},
		{newQuantile(.95, ratio, nan, 0, DefaultGeometry, nominal), "tail index NaN "},
		{newQuantile(.95, ratio, 4, -1, DefaultGeometry, nominal), "baseline quantile -1 "},
		{newQuantile(.95, ratio, 4, 0, Geometry{}, nominal), "geometry "},
		{newQuantile(.95, ratio, 4, 0, Geometry{1, .1, -1}, nominal), "geometry "},
		{newQuantile(.95, ratio, 4, 0, DefaultGeometry, Levels{}), "alpha 0 "},
		{newCleanRun(0, .05), "epsilon 0 "},
		{newCleanRun(.01, 1), "alpha 1 "},
		{newBeta(0, 1), "a 0 "},
		{newBeta(1, nan), "b NaN "},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.names) {
			t.Errorf("error %v, want it to name %q", c.err, c.names)
		}
	}
}

// Counts that cannot be (more hits than responses) are taken at the greatest that can.
func TestSaturation(t *testing.T) {
	s, b := must(NewSplit(.5, .03, nominal)), must(NewBound(.01, nominal))
	d, turns, run := must(NewDifference(.5, .005, nil, nominal)), must(NewTurns(.5, .03, nominal)), must(NewCleanRun(.01, .05))
	q := must(NewQuantile(.95, Margin{Ratio: .1}, 4, 0, DefaultGeometry, nominal))
	same := func(name string, got, want float64) {
		t.Helper()
		if got != want || math.IsNaN(got) || math.IsInf(got, 0) {
			t.Errorf("%s: %v, saturated %v", name, got, want)
		}
	}
	for _, n := range []uint64{0, 3, 100} {
		more := n + 7
		lowA, highA := s.Pass(SplitCount{more, 2, n})
		lowB, highB := s.Pass(SplitCount{n, 0, n})
		same("split PASS low", lowA, lowB)
		same("split PASS high", highA, highB)
		_, _, failA := s.Fail(SplitCount{more, 2, n})
		_, _, failB := s.Fail(SplitCount{n, 0, n})
		same("split FAIL", failA, failB)
		same("bound PASS", b.Pass(more, n), b.Pass(n, n))
		same("bound FAIL", b.Fail(more, n), b.Fail(n, n))
		same("bound upper", b.Upper(more, n), b.Upper(n, n))
		same("bound lower", b.Lower(more, n), b.Lower(n, n))
		same("difference PASS", d.Pass(more, n, more, n), d.Pass(n, n, n, n))
		same("difference FAIL", d.Fail(more, n, more, n), d.Fail(n, n, n, n))
		same("clean run", run.Log(more, n), run.Log(n, n))
		same("turns", turns.Fail(n, 0), turns.Fail(n, 0))
		same("joint", q.pass.log(more, n, more, n), q.pass.log(n, n, n, n))
		stageA, stageB := must(NewStageErrors(.01, nominal, 3)), must(NewStageErrors(.01, nominal, 3))
		stageA.Append(more, n)
		stageB.Append(n, n)
		same("stage errors", stageA.Log(), stageB.Log())
		lo, hi := must(NewBetaSequence(.5, .5)).Interval(more, n, .05)
		wantLo, wantHi := must(NewBetaSequence(.5, .5)).Interval(n, n, .05)
		same("beta lo", lo, wantLo)
		same("beta hi", hi, wantHi)
	}
}

// Without data nothing is said, and the zero values say nothing ever.
func TestNoEvidence(t *testing.T) {
	s, b, d := must(NewSplit(.5, .03, nominal)), must(NewBound(.01, nominal)), must(NewDifference(.5, .005, nil, nominal))
	q := must(NewQuantile(.95, Margin{Ratio: .1}, 4, 0, DefaultGeometry, nominal))
	low, high := s.Pass(SplitCount{})
	failLow, failHigh, fail := s.Fail(SplitCount{})
	pass, _ := q.Pass(Tails{}, Tails{}, Tails{}, 0)
	slow, _ := q.Fail(Tails{}, Tails{}, Tails{}, 0)
	var zeroBound Bound
	var zeroSplit Split
	var zeroDifference Difference
	zeroLow, zeroHigh := zeroSplit.Pass(SplitCount{10, 0, 20})
	for i, e := range []float64{low, high, failLow, failHigh, fail, b.Pass(0, 0), b.Fail(0, 0), d.Pass(0, 0, 0, 0), d.Fail(0, 0, 0, 0), pass, slow,
		zeroBound.Pass(0, 1000), zeroBound.Fail(1000, 1000), zeroLow, zeroHigh, zeroDifference.Pass(0, 1000, 0, 1000), Mixture{}.Log(0, 1000), Mixture{}.LogAt(.5, 0, 1000),
		LogWeightedMean(nil, nil), LogWeightedMean([]float64{3}, []float64{0})} {
		if e != 0 {
			t.Errorf("case %d: log E %v without evidence", i, e)
		}
	}
	if lo, hi := s.Bounds(SplitCount{}); lo != 0 || hi != 1 {
		t.Errorf("shares %v to %v without data", lo, hi)
	}
	if b.Upper(0, 0) != 1 || b.Lower(0, 0) != 0 || d.Upper(0, 0, 0, 0) != 1 || !math.IsInf(q.UpperRatio(Tails{}, Tails{}, Tails{}, 0), 1) {
		t.Error("a bound is displayed without data")
	}
}

func TestNewMixture(t *testing.T) {
	for name, m := range map[string]Mixture{
		"theta 0":        NewMixture(0, []float64{.5}, []float64{1}),
		"theta NaN":      NewMixture(math.NaN(), []float64{.5}, []float64{1}),
		"lengths differ": NewMixture(.5, []float64{.5, .6}, []float64{1}),
		"no weight":      NewMixture(.5, []float64{.6, math.NaN(), .7}, []float64{0, 1, math.NaN()}),
	} {
		if len(m.parts) != 0 {
			t.Errorf("%s: %d components", name, len(m.parts))
		}
	}
	for _, c := range []struct{ q, w, plainQ, plainW []float64 }{
		{[]float64{.1, .2, .1, -1, 0}, []float64{1, 2, 3, 1, 1}, []float64{.1, .2, 0}, []float64{40, 20, 20}},
		{[]float64{.9, 1.05, 1}, []float64{1, 2, 3}, []float64{.9, 1}, []float64{1, 5}},
	} {
		a, b := NewMixture(.3, c.q, c.w), NewMixture(.3, c.plainQ, c.plainW)
		for _, k := range []uint64{0, 1, 2, 5, 19, 20} {
			if x, y := a.Log(k, 20), b.Log(k, 20); len(a.parts) != len(c.plainQ) || math.Abs(x-y) > 1e-13*(1+math.Abs(x)) || math.IsNaN(x) {
				t.Errorf("%d of 20: %v clipped and merged %v, plain %v", k, c.q, x, y)
			}
		}
	}
}

func TestLogWeightedMean(t *testing.T) {
	rng := rand.New(rand.NewPCG(27, 28))
	for range 200 {
		e, w := make([]float64, 1+rng.IntN(6)), []float64{}
		sum, total := 0.0, 0.0
		for i := range e {
			e[i] = 5 * rng.NormFloat64()
			w = append(w, rng.Float64())
			sum += w[i] * math.Exp(e[i])
			total += w[i]
		}
		if got, want := LogWeightedMean(e, w), math.Log(sum/total); math.Abs(got-want) > 1e-12*(1+math.Abs(want)) {
			t.Fatalf("mean of %v by %v: %v, want %v", e, w, got, want)
		}
	}
	inf := math.Inf(1)
	for _, c := range []struct {
		e    []float64
		want float64
	}{
		{[]float64{-inf, -inf}, -inf}, {[]float64{inf, 0}, inf}, {[]float64{0, inf, inf}, inf},
		{[]float64{-inf, 0}, -math.Ln2}, {[]float64{1e6, 1e6}, 1e6}, {[]float64{-1e6, 1e6}, 1e6 - math.Ln2},
	} {
		w := uniform(len(c.e), 1)
		if got := LogWeightedMean(c.e, w); got != c.want && !(math.Abs(got-c.want) < 1e-9) {
			t.Errorf("mean of %v: %v, want %v", c.e, got, c.want)
		}
	}
}

// Looks do not allocate.
func TestNoAllocation(t *testing.T) {
	s, b, d := must(NewSplit(.5, .03, nominal)), must(NewBound(.01, nominal)), must(NewDifference(.5, .005, nil, nominal))
	q, stage := must(NewQuantile(.95, Margin{Ratio: .1}, 4, 0, DefaultGeometry, nominal)), must(NewStageErrors(.01, nominal, 20))
	tb, tc, starts := lognormal(4350), lognormal(4360), splitWindows('A')
	if n := testing.AllocsPerRun(5, func() {
		c := SplitCount{1390, 6, 2800}
		s.Pass(c)
		s.Fail(c)
		s.Bounds(c)
		s.MinOverStarts(starts, c)
		b.Pass(3, 2000)
		b.Fail(3, 2000)
		b.Upper(3, 2000)
		d.Pass(3, 1000, 4, 1000)
		d.Fail(3, 1000, 4, 1000)
		d.Upper(3, 1000, 4, 1000)
		stage.Append(1, 50)
		stage.Amend(3, 1)
		stage.Log()
		q.Pass(tb, tc, Tails{}, 1)
		q.Fail(tb, tc, Tails{}, 1)
		q.UpperRatio(tb, tc, Tails{}, 1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// PASS is a matter of alpha, FAIL of beta.
func TestEachSideHasItsLevel(t *testing.T) {
	type values struct{ pass, fail []float64 }
	all := func(l Levels) values {
		s, b, d := must(NewSplit(.1, .02, l)), must(NewBound(.01, l)), must(NewDifference(.5, .005, nil, l))
		q, stage, turns := must(NewQuantile(.95, Margin{Ratio: .1}, 4, 0, DefaultGeometry, l)), must(NewStageErrors(.01, l, 3)), must(NewTurns(.1, .02, l))
		tb, tc := lognormal(4350), lognormal(4360)
		stage.Append(30, 1000)
		c := SplitCount{90, 10, 1000}
		low, high := s.Pass(c)
		lo, hi := s.Bounds(c)
		failLow, failHigh, _ := s.Fail(c)
		pass, _ := q.Pass(tb, tc, Tails{}, 0)
		fail, _ := q.Fail(tb, tc, Tails{}, 0)
		return values{
			pass: []float64{low, high, lo, hi, b.Pass(1, 2000), b.Upper(1, 2000), d.Upper(1, 2000, 1, 2000), pass, q.UpperRatio(tb, tc, Tails{}, 0)},
			fail: []float64{failLow, failHigh, b.Fail(40, 1000), b.Lower(40, 1000), stage.Log(), turns.Fail(2, 900), fail},
		}
	}
	differ := func(a, b []float64) (n int) {
		for i := range a {
			if a[i] != b[i] {
				n++
			}
		}
		return n
	}
	base := all(Levels{.05, .05, 50_000})
	stricter := all(Levels{1e-9, .05, 50_000})
	if n := differ(base.pass, stricter.pass); n != len(base.pass) {
		t.Errorf("alpha: %d of %d PASS values moved: %v, %v", n, len(base.pass), base.pass, stricter.pass)
	}
	if n := differ(base.fail, stricter.fail); n != 0 {
		t.Errorf("alpha: %d FAIL values moved", n)
	}
	stricter = all(Levels{.05, 1e-9, 50_000})
	if n := differ(base.pass, stricter.pass); n != 0 {
		t.Errorf("beta: %d PASS values moved", n)
	}
	if n := differ(base.fail, stricter.fail); n != len(base.fail) {
		t.Errorf("beta: %d of %d FAIL values moved: %v, %v", n, len(base.fail), base.fail, stricter.fail)
	}
}
