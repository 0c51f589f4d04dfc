package sequential

import "testing"

// One look of everything that is cheap: split, two bounds (errors, absolute latency), stage errors, difference, turns, the weighted
// mean. Target: below 5 us together, no allocation.
func BenchmarkCheapLook(b *testing.B) {
	l := Levels{Alpha: .01, Beta: .05, Budget: 50_000}
	share := must(NewSplit(.5, .03, l))
	errors := must(NewBound(.01, l))
	latency := must(NewBound(.01, l))
	stage := must(NewStageErrors(.01, l, 300))
	relative := must(NewDifference(.5, .005, &Rate{3, 3000}, l))
	turns := must(NewTurns(.5, .03, l))
	e, w := make([]float64, 6), []float64{.3, .3, .15, .15, .05, .05}
	for range 400 {
		stage.Append(0, 50)
	}
	b.ReportAllocs()
	for b.Loop() {
		c := SplitCount{1390, 6, 2800}
		share.Pass(c)
		_, _, e[0] = share.Fail(c)
		errors.Pass(2, 1400)
		e[1] = errors.Fail(2, 1400)
		latency.Pass(9, 1400)
		e[2] = latency.Fail(9, 1400)
		stage.Append(1, 50)
		e[3] = stage.Log()
		relative.Pass(3, 1400, 2, 1390)
		e[4] = relative.Fail(3, 1400, 2, 1390)
		turns.Fail(700, 680)
		sink = LogWeightedMean(e, w)
	}
}

var sink float64

// A look with late errors from the far end of the horizon: the worst that StageErrors can meet.
func BenchmarkStageErrorsAmend(b *testing.B) {
	stage := must(NewStageErrors(.01, Levels{Alpha: .01, Beta: .05, Budget: 50_000}, 300))
	for range 400 {
		stage.Append(0, 1_000_000)
	}
	b.ReportAllocs()
	for b.Loop() {
		stage.Append(1, 1_000_000)
		stage.Amend(300, 1)
		sink = stage.Log()
	}
}

// 300 start windows: settle 30 s.
func BenchmarkMinOverStarts(b *testing.B) {
	share := must(NewSplit(.5, .03, Levels{Alpha: .01, Beta: .05, Budget: 50_000}))
	starts := make([]SplitCount, 300)
	for i := range starts {
		starts[i] = SplitCount{22 + uint64(i%7), uint64(i % 2), 50}
	}
	b.ReportAllocs()
	for b.Loop() {
		sink = share.MinOverStarts(starts, SplitCount{5000, 3, 10_000}).Fail
	}
}

// One look of relative latency: both arms' new counts into tails, then PASS and FAIL. Target: below .2 ms, no allocation.
func BenchmarkQuantileLook(b *testing.B) {
	q := must(NewQuantile(.95, Margin{Ratio: .1, AddNS: 1e6}, 4, 0, DefaultGeometry, Levels{Alpha: .01, Beta: .05, Budget: 50_000}))
	counts := make([]uint64, DefaultGeometry.Last+2)
	tb, tc := lognormal(4350), lognormal(4360)
	for j := range counts {
		counts[j] = uint64(j % 3)
	}
	var filled Tails
	filled.Fill(counts)
	b.ReportAllocs()
	for b.Loop() {
		filled.Fill(counts)
		filled.Fill(counts)
		q.Pass(tb, tc, Tails{}, 3)
		sink, _ = q.Fail(tb, tc, Tails{}, 3)
	}
}

// The same from a bin that has nothing to do with the minimum, as at a first look.
func BenchmarkQuantileColdLook(b *testing.B) {
	q := must(NewQuantile(.95, Margin{Ratio: .1}, 4, 0, DefaultGeometry, Levels{Alpha: .01, Beta: .05, Budget: 50_000}))
	tb, tc := lognormal(4350), lognormal(4360)
	b.ReportAllocs()
	for b.Loop() {
		q.passHint, q.failHint = Underflow, Underflow
		q.Pass(tb, tc, Tails{}, 0)
		sink, _ = q.Fail(tb, tc, Tails{}, 0)
	}
}

// Histograms that are hard to search: both arms with something in every bin, and only one arm.
func BenchmarkQuantileHardLook(b *testing.B) {
	q := must(NewQuantile(.95, Margin{Ratio: .1}, 4, 0, DefaultGeometry, Levels{Alpha: .01, Beta: .05, Budget: 50_000}))
	counts := make([]uint64, DefaultGeometry.Last+2)
	for i := range counts {
		counts[i] = 1
	}
	each := NewTails(counts)
	for name, arms := range map[string][2]Tails{"each": {each, each}, "baseline": {each, {}}, "canary": {{}, each}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				q.passHint, q.failHint = Underflow, Underflow
				q.Pass(arms[0], arms[1], Tails{}, 0)
				sink, _ = q.Fail(arms[0], arms[1], Tails{}, 0)
			}
		})
	}
}

// What is computed for display only, once a second or so.
func BenchmarkDisplayBounds(b *testing.B) {
	l := Levels{Alpha: .01, Beta: .05, Budget: 50_000}
	share, errors, relative := must(NewSplit(.5, .03, l)), must(NewBound(.01, l)), must(NewDifference(.5, .005, nil, l))
	q := must(NewQuantile(.95, Margin{Ratio: .1}, 4, 0, DefaultGeometry, l))
	tb, tc := lognormal(4350), lognormal(4360)
	b.ReportAllocs()
	for b.Loop() {
		share.Bounds(SplitCount{1390, 6, 2800})
		errors.Upper(2, 1400)
		errors.Lower(2, 1400)
		relative.Upper(3, 1400, 2, 1390)
		sink = q.UpperRatio(tb, tc, Tails{}, 0)
	}
}
