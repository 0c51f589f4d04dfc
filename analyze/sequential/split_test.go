package sequential

import (
	"math"
	"math/rand/v2"
	"testing"
)

// MinOverStarts against every start on its own.
func TestMinOverStarts(t *testing.T) {
	rng := rand.New(rand.NewPCG(25, 26))
	s := must(NewSplit(.5, .03, nominal))
	threshold := nominal.pass()
	kinds := map[bool]int{}
	for run := range 300 {
		window := func(share float64, n uint64) SplitCount {
			c := SplitCount{N: n}
			for range n {
				switch x := rng.Float64(); {
				case x < share:
					c.Canary++
				case x > .99:
					c.Unclassified++
				}
			}
			return c
		}
		settled := []float64{.5, .5, .42, .2}[run%4]
		starts := make([]SplitCount, rng.IntN(12))
		for i := range starts {
			starts[i] = window(settled*rng.Float64(), rng.Uint64N(200))
		}
		rest := window(settled, uint64(run%5)*rng.Uint64N(1000))
		got := s.MinOverStarts(starts, rest)

		want := StartMin{PassLow: math.Inf(1), PassHigh: math.Inf(1), Fail: math.Inf(1), EarliestConsistent: -1}
		for i := range len(starts) + 1 {
			c := rest
			for _, w := range starts[i:] {
				c = c.plus(w)
			}
			low, high := s.Pass(c)
			failLow, failHigh, fail := s.Fail(c)
			if low < want.PassLow {
				want.PassLow, want.PassLowStart = low, i
			}
			if high < want.PassHigh {
				want.PassHigh, want.PassHighStart = high, i
			}
			if fail < want.Fail {
				want.Fail, want.FailLow, want.FailHigh, want.FailStart = fail, failLow, failHigh, i
			}
			if fail < threshold && want.EarliestConsistent < 0 {
				want.EarliestConsistent = i
			}
		}
		if got != want {
			t.Errorf("run %d: %+v, start by start %+v", run, got, want)
		}
		if rest.N == 0 && (got.PassLow > 0 || got.PassHigh > 0 || got.Fail > 0) {
			t.Errorf("run %d: %+v says something without any settled data", run, got)
		}
		kinds[got.EarliestConsistent < 0]++
	}
	if kinds[true] < 10 || kinds[false] < 10 {
		t.Errorf("some start consistent %d times, none %d times: the test does not see both", kinds[false], kinds[true])
	}
}

// The ladder of PASS alternatives goes down as far as the budget can resolve, six steps at most, and never leaves the spike alone
// with less than all the weight.
func TestSplitLadder(t *testing.T) {
	for budget, want := range map[uint64]int{1: 1, 500: 2, 50_000: 5, 1 << 40: 7} {
		s := must(NewSplit(.5, .03, Levels{.05, .05, budget}))
		sum := 0.0
		for _, p := range s.passLow.parts {
			sum += math.Exp(p.logWeight)
		}
		if got := len(s.passLow.parts); got != want || math.Abs(sum-1) > 1e-12 {
			t.Errorf("budget %d: %d alternatives of weight %v, want %d", budget, got, sum, want)
		}
	}
}

// The graph's interval holds the observed share, wherever that lies, and narrows around it.
func TestBetaInterval(t *testing.T) {
	for _, prior := range []float64{.5, 1} {
		s := must(NewBetaSequence(prior, prior))
		for _, n := range []uint64{1, 10, 1000, 100_000} {
			for part := range uint64(11) {
				k := n * part / 10
				observed := float64(k) / float64(n)
				lo, hi := s.Interval(k, n, .05)
				width := 5 * math.Sqrt(observed*(1-observed)/float64(n)+9/float64(n*n)) // some 4.5 standard errors
				if !(lo <= observed && observed <= hi) || lo < observed-width || hi > observed+width {
					t.Errorf("Beta(%v), %d of %d: %v to %v", prior, k, n, lo, hi)
				}
				if (k > 0 && n >= 1000 && lo == 0) || (k < n && n >= 1000 && hi == 1) {
					t.Errorf("Beta(%v), %d of %d: %v to %v excludes nothing", prior, k, n, lo, hi)
				}
			}
		}
	}
	lo, hi := must(NewBetaSequence(1, 50)).Interval(3, 400, .05)
	mirrorLo, mirrorHi := must(NewBetaSequence(50, 1)).Interval(397, 400, .05)
	if math.Abs(lo+mirrorHi-1) > 1e-12 || math.Abs(hi+mirrorLo-1) > 1e-12 || lo == mirrorLo {
		t.Errorf("%v to %v, its mirror image %v to %v", lo, hi, mirrorLo, mirrorHi)
	}
	if lo, hi := (BetaSequence{.5, .5}).Interval(3, 10, math.NaN()); lo != 0 || hi != 1 {
		t.Errorf("%v to %v at no level", lo, hi)
	}
}

// Full stickiness is called at the 17th transition; independent or alternating routing never.
func TestTurns(t *testing.T) {
	turns := must(NewTurns(.5, .03, nominal))
	called := func(switched, same uint64) bool { return turns.Fail(switched, same) >= math.Log(TurnsEvidence) }
	if called(0, 16) || !called(0, 17) {
		t.Errorf("sticky: log E %v after 16, %v after 17, needed %v", turns.Fail(0, 16), turns.Fail(0, 17), math.Log(TurnsEvidence))
	}
	for _, share := range []float64{.1, .9} { // the least switch rate is at the edge that is farther from one half
		if theta := must(NewTurns(share, .02, nominal)).Theta(); math.Abs(theta-.8*2*.08*.92) > 1e-12 {
			t.Errorf("share %v: theta %v", share, theta)
		}
	}
	if called(2500, 2500) || called(5000, 0) {
		t.Error("independent or alternating routing is called sticky")
	}
}

func TestCleanRun(t *testing.T) {
	for _, c := range []struct {
		epsilon, alpha float64
		want           uint64
	}{
		{.01, .05, 299}, {.01, .01, 459}, {.003, .05, 998}, {.003, .01, 1533}, {.001, .05, 2995}, {.001, .01, 4603},
		{.01, RunAlpha(.05, 1), 368}, {.01, RunAlpha(.05, 2), 477}, {.01, RunAlpha(.05, 3), 546},
		{0, .05, math.MaxUint64}, {.01, math.NaN(), math.MaxUint64}, {1e-300, .05, math.MaxUint64},
	} {
		if got := CleanRunLength(c.epsilon, c.alpha); got != c.want {
			t.Errorf("epsilon %v, alpha %v: %d clean responses, want %d", c.epsilon, c.alpha, got, c.want)
		}
	}
	sum := 0.0
	for j := 1; j <= 1000; j++ {
		sum += RunAlpha(.05, j)
	}
	if sum > .05 || sum < .0499 {
		t.Errorf("all runs spend %v", sum)
	}
	run := must(NewCleanRun(.01, .05))
	first := uint64(1)
	for run.Log(0, first) < -math.Log(.05) {
		first++
	}
	t.Logf("first PASS of the mixture without strays: %d", first)
	if first < 299 || first > 345 {
		t.Errorf("the mixture takes %d clean responses", first)
	}
	if run.Log(3, 3000) < -math.Log(.05) || run.Log(30, 3000) > 0 {
		t.Errorf("log E %v at .1 %%, %v at 1 %%", run.Log(3, 3000), run.Log(30, 3000))
	}
}
