package sequential

import (
	"math"
	"math/rand/v2"
	"testing"
)

// At the boundary wrong verdicts stay below alpha and beta, with a steady and with a drifting baseline; off it the right verdict comes.
func TestDifferenceSimulated(t *testing.T) {
	rng := rand.New(rand.NewPCG(29, 30))
	const margin, atMost = .005, .05 + .02 // 1,000 runs: three standard errors
	steady := func(rate float64) func(float64) float64 { return func(float64) float64 { return rate } }
	for _, c := range []struct {
		name       string
		baseline   func(part float64) float64
		worse      float64
		runs, hits int
		pass, fail [2]float64 // share of runs, least and most
	}{
		{"boundary", steady(.001), margin, 1000, 10_000, [2]float64{.002, atMost}, [2]float64{.002, atMost}},
		{"boundary, drifting", func(part float64) float64 { return .004 + .003*math.Sin(6*part) }, margin, 500, 10_000, [2]float64{0, atMost}, [2]float64{0, atMost}},
		{"good", steady(.001), 0, 100, 12_000, [2]float64{.95, 1}, [2]float64{0, atMost}},
		{"bad", steady(.001), .029, 100, 4000, [2]float64{0, atMost}, [2]float64{.95, 1}},
	} {
		passed, failed := 0, 0
		for range c.runs {
			d := must(NewDifference(.5, margin, nil, nominal))
			var k, n [2]uint64
			gotPass, gotFail := false, false
			for i := 1; i <= c.hits; i++ {
				arm := rng.IntN(2)
				n[arm]++
				if rng.Float64() < c.baseline(float64(i)/float64(c.hits))+float64(arm)*c.worse {
					k[arm]++
				}
				if i%100 == 0 {
					gotPass = gotPass || d.Pass(k[0], n[0], k[1], n[1]) >= nominal.pass()
					gotFail = gotFail || d.Fail(k[0], n[0], k[1], n[1]) >= nominal.fail()
				}
			}
			if gotPass {
				passed++
			}
			if gotFail {
				failed++
			}
		}
		pass, fail := float64(passed)/float64(c.runs), float64(failed)/float64(c.runs)
		t.Logf("%s: PASS %.3f, FAIL %.3f", c.name, pass, fail)
		if pass < c.pass[0] || pass > c.pass[1] || fail < c.fail[0] || fail > c.fail[1] {
			t.Errorf("%s: PASS %.3f, want %v; FAIL %.3f, want %v", c.name, pass, c.pass, fail, c.fail)
		}
	}
}

// A canary that is proven better has an upper bound below 0.
func TestDifferenceUpperBelowZero(t *testing.T) {
	d := must(NewDifference(.5, .005, nil, nominal))
	if m := d.Upper(500, 1000, 0, 1000); !(m < -.2 && m > -.5) {
		t.Errorf("50 %% against 0 %%: at most %v worse", m)
	}
	if m := d.Upper(0, 1000, 500, 1000); !(m > .5 && m <= 1) {
		t.Errorf("0 %% against 50 %%: at most %v worse", m)
	}
}
