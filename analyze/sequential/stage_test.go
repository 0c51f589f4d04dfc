package sequential

import (
	"math"
	"math/rand/v2"
	"testing"
)

// plainStage is the definition: every start window apart, from scratch. starts[s] are the windows that start s sees.
func plainStage(s *StageErrors, windows func(start int) []stretch, appended int) float64 {
	total := emptySum
	for w := range appended {
		weight := .5 / float64(w+1) / float64(w+2)
		if w == 0 {
			weight += .5
		}
		var k, n uint64
		for _, x := range windows(w)[w:] {
			k, n = k+x.k, n+x.n
		}
		total.add(math.Log(weight) + s.mixture.Log(k, n))
	}
	if appended == 0 {
		return 0
	}
	total.add(math.Log(.5 / float64(appended+1)))
	return total.value()
}

// Amendments in any order and at any distance give what the definition gives for the corrected counts, and never more.
func TestStageErrorsAmend(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for run := range 60 {
		horizon := []int{0, 1, 5, 17, 40}[run%5]
		s := must(NewStageErrors([]float64{.01, .05, .3}[run%3], nominal, horizon))
		var all, kept []stretch // as amended by everything, and by what the later starts may use
		if got := s.Log(); got != 0 {
			t.Fatalf("log E %v before the first window", got)
		}
		for w := range 80 {
			n := rng.Uint64N(40)
			x := stretch{uint64(float64(n) * rng.Float64() * rng.Float64() * .3), n}
			s.Append(x.k, x.n)
			all, kept = append(all, x), append(kept, x)
			for range rng.IntN(4) {
				back, errors := rng.IntN(60), rng.Uint64N(3)
				if i := w - back; i >= 0 {
					errors = min(errors, all[i].n-all[i].k)
					all[i].k += errors
					if back <= horizon {
						kept[i].k += errors
					}
				}
				s.Amend(back, errors)
			}
			if rng.IntN(3) > 0 {
				continue // several amended windows at one look
			}
			want := plainStage(s, func(start int) []stretch {
				if start == 0 {
					return all
				}
				return kept
			}, len(all))
			if got := s.Log(); math.Abs(got-want) > 1e-9*(1+math.Abs(want)) {
				t.Fatalf("run %d, window %d: log E %v, from scratch %v", run, w, got, want)
			}
			if most := plainStage(s, func(int) []stretch { return all }, len(all)); s.Log() > most+1e-9 {
				t.Fatalf("run %d, window %d: log E %v, more than the true counts' %v", run, w, s.Log(), most)
			}
		}
	}
}

// At the bound E[E] is 1, whatever the windows; below it less. All outcomes of four windows.
func TestStageErrorsExpectation(t *testing.T) {
	sizes := []int{3, 0, 4, 2}
	for _, theta := range []float64{.01, .3} {
		for _, p := range []float64{theta, theta / 2} {
			sum := 0.0
			var visit func(counts []uint64, logP float64)
			visit = func(counts []uint64, logP float64) {
				if w := len(counts); w < len(sizes) {
					for k := range sizes[w] + 1 {
						visit(append(counts, uint64(k)), logP+binomial(k, sizes[w], p))
					}
					return
				}
				s := must(NewStageErrors(theta, nominal, 2))
				for w, k := range counts {
					s.Append(k, uint64(sizes[w]))
				}
				sum += math.Exp(logP + s.Log())
			}
			visit(nil, 0)
			if p == theta && math.Abs(sum-1) > 1e-10 || p < theta && sum >= 1 {
				t.Errorf("theta %v: E[E] = %v at %v", theta, sum, p)
			}
		}
	}
}

// A correction for a window from before the first one, or for more hits than it had, changes nothing.
func TestStageErrorsAmendNothing(t *testing.T) {
	s := must(NewStageErrors(.01, nominal, 10))
	s.Amend(0, 5)
	s.Append(1, 20)
	s.Append(20, 20)
	before := s.Log()
	for _, back := range []int{-1, 2, 5, 1000} {
		s.Amend(back, 3)
	}
	s.Amend(0, 3)
	if s.Log() != before {
		t.Errorf("log E %v, before %v", s.Log(), before)
	}
	s.Amend(1, 1)
	if s.Log() <= before {
		t.Errorf("log E %v after one more error, before %v", s.Log(), before)
	}
}

// At the bound, with errors that arrive late, wrong rejections stay below beta; and a dead canary is called within one window,
// however long the run was healthy before.
func TestStageErrorsSimulated(t *testing.T) {
	const runs, windows, hits, theta = 1000, 300, 50, .01
	rng := rand.New(rand.NewPCG(3, 4))
	threshold := nominal.fail()
	wrong := 0
	for range runs {
		s := must(NewStageErrors(theta, nominal, 30))
		late := map[int][]int{}
		for w := range windows {
			var k uint64
			for range hits {
				if rng.Float64() < theta {
					if rng.IntN(10) == 0 {
						when := w + 1 + rng.IntN(40) // some beyond the horizon
						late[when] = append(late[when], w)
					} else {
						k++
					}
				}
			}
			s.Append(k, hits)
			for _, i := range late[w] {
				s.Amend(w-i, 1)
			}
			if s.Log() >= threshold {
				wrong++
				break
			}
		}
	}
	rate := float64(wrong) / runs
	t.Logf("wrong rejections %.4f of %v", rate, nominal.Beta)
	if rate > nominal.Beta+3*math.Sqrt(nominal.Beta/runs) || wrong == 0 {
		t.Errorf("rejected %d of %d runs at the bound", wrong, runs)
	}
	s := must(NewStageErrors(theta, nominal, 30))
	for range 2500 { // 250 s
		s.Append(0, hits)
	}
	if s.Log() >= threshold {
		t.Errorf("log E %v without an error", s.Log())
	}
	s.Append(hits/2, hits)
	if s.Log() < threshold {
		t.Errorf("log E %v after a window in which half of all answers failed", s.Log())
	}
}
