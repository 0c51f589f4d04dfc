package sequential

import (
	"math"
	"math/rand/v2"
	"testing"
)

// What is not known is taken at its worst: no assignment of the nameless hits says less than what the tests are given.

const hair = 1e-9 // of rounding

func TestSplitUnclassified(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	s := must(NewSplit(.5, .03, nominal))
	for range 300 {
		n := 1 + rng.Uint64N(5000)
		u := min(rng.Uint64N(30), n)
		k := rng.Uint64N(n - u + 1)
		if rng.IntN(2) == 0 {
			k = min(n/2, n-u)
		}
		low, high := s.Pass(SplitCount{k, u, n})
		failLow, failHigh, mean := s.Fail(SplitCount{k, u, n})
		lo, hi := s.Bounds(SplitCount{k, u, n})
		for x := range u + 1 {
			c := SplitCount{Canary: k + x, N: n}
			if l, h := s.Pass(c); low > l+hair || high > h+hair {
				t.Fatalf("%d+%du/%d: PASS %v and %v, with %d canary's %v and %v", k, u, n, low, high, x, l, h)
			}
			if l, h, m := s.Fail(c); failLow > l+hair || failHigh > h+hair || mean > m+hair {
				t.Fatalf("%d+%du/%d: FAIL %v, %v and %v, with %d canary's %v, %v and %v", k, u, n, failLow, failHigh, mean, x, l, h, m)
			}
			if l, h := s.Bounds(c); lo > l+hair || hi < h-hair {
				t.Fatalf("%d+%du/%d: bounds %v to %v, with %d canary's %v to %v", k, u, n, lo, hi, x, l, h)
			}
		}
	}
}

func TestBoundUnclassified(t *testing.T) {
	rng := rand.New(rand.NewPCG(17, 18))
	b := must(NewBound(.01, nominal))
	for range 300 {
		n := rng.Uint64N(3000)
		k := rng.Uint64N(n/30 + 1)
		errors, successes := rng.Uint64N(8), rng.Uint64N(8)
		pass, fail := b.Pass(k+errors, n+errors), b.Fail(k, n+successes)
		for x := range errors + 1 {
			for y := range successes + 1 {
				if e := b.Pass(k+x, n+x+y); pass > e+hair {
					t.Fatalf("%d/%d: PASS %v, with %d errors and %d successes %v", k, n, pass, x, y, e)
				}
				if e := b.Fail(k+x, n+x+y); fail > e+hair {
					t.Fatalf("%d/%d: FAIL %v, with %d errors and %d successes %v", k, n, fail, x, y, e)
				}
			}
		}
	}
}

// The normaliser depends on both arms' sizes, so this is not obvious here; every assignment of 2,000 tables.
func TestDifferenceUnclassified(t *testing.T) {
	rng := rand.New(rand.NewPCG(19, 20))
	tests := []Difference{
		must(NewDifference(.5, .005, nil, nominal)),
		must(NewDifference(.1, .005, &Rate{3, 3000}, nominal)),
		must(NewDifference(.5, .1, &Rate{0, 10}, nominal)),
	}
	for run := range 2000 {
		d := tests[run%len(tests)]
		nb, nc := rng.Uint64N(3000), rng.Uint64N(3000)
		if run%4 == 0 {
			nb, nc = nb%20, nc%20
		}
		kb, kc := rng.Uint64N(nb/20+1), rng.Uint64N(nc/20+1)
		if run%5 == 0 {
			kb, kc = rng.Uint64N(nb+1), rng.Uint64N(nc+1)
		}
		errors, successes := rng.Uint64N(6), rng.Uint64N(6)
		pass := d.Pass(kb, nb+successes, kc+errors, nc+errors)
		fail := d.Fail(kb+errors, nb+errors, kc, nc+successes)
		for x := range errors + 1 { // errors of the baseline
			for y := range successes + 1 { // successes of the baseline
				kb, nb, kc, nc := kb+x, nb+x+y, kc+errors-x, nc+errors-x+successes-y
				if e := d.Pass(kb, nb, kc, nc); pass > e+hair {
					t.Fatalf("run %d: PASS %v, assigned %d/%d and %d/%d it is %v", run, pass, kb, nb, kc, nc, e)
				}
				if e := d.Fail(kb, nb, kc, nc); fail > e+hair {
					t.Fatalf("run %d: FAIL %v, assigned %d/%d and %d/%d it is %v", run, fail, kb, nb, kc, nc, e)
				}
			}
		}
	}
}

// A displayed bound and the verdict are one and the same statement.
func TestBoundsAgreeWithVerdicts(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	share, bound, relative := must(NewSplit(.5, .03, nominal)), must(NewBound(.01, nominal)), must(NewDifference(.5, .005, nil, nominal))
	threshold := nominal.pass()
	said := map[string][2]int{}
	check := func(name string, proven bool, inside bool, logE float64) {
		t.Helper()
		if proven != inside && math.Abs(logE-threshold) > 1e-6 {
			t.Errorf("%s: log E %v, but the bound says %v", name, logE, inside)
		}
		c := said[name]
		if proven {
			c[0]++
		} else {
			c[1]++
		}
		said[name] = c
	}
	for range 1000 {
		n := rng.Uint64N(6000) + 1
		k := uint64(float64(n)*(.5+.02*rng.NormFloat64())) % (n + 1)
		low, high := share.Pass(SplitCount{Canary: k, N: n})
		lo, hi := share.Bounds(SplitCount{Canary: k, N: n})
		check("share from below", low >= threshold, lo >= .47, low)
		check("share from above", high >= threshold, hi <= .53, high)
		k = rng.Uint64N(n/50 + 2)
		check("errors from above", bound.Pass(k, n) >= threshold, bound.Upper(k, n) <= .01, bound.Pass(k, n))
		check("errors from below", bound.Fail(k, n) >= threshold, bound.Lower(k, n) >= .01, bound.Fail(k, n))
		kb, nb := rng.Uint64N(n/100+2), n+rng.Uint64N(100)+2
		e := relative.Pass(kb, nb, k/4, n)
		check("difference", e >= threshold, relative.Upper(kb, nb, k/4, n) <= .005, e)
	}
	for name, c := range said {
		if c[0] < 20 || c[1] < 20 {
			t.Errorf("%s: proven %d times, not proven %d times: the test does not see both", name, c[0], c[1])
		}
	}
}

// The evidence is monotone in the null that is displayed against; that is what the bisection rests on.
func TestDisplayIsMonotone(t *testing.T) {
	rng := rand.New(rand.NewPCG(23, 24))
	bound, relative := must(NewBound(.05, nominal)), must(NewDifference(.3, .01, &Rate{1, 50}, nominal))
	for range 300 {
		n, nb := rng.Uint64N(2000)+1, rng.Uint64N(2000)+1
		k, kb := rng.Uint64N(n+1), rng.Uint64N(nb+1)
		lastPass, lastFail, lastMargin := math.Inf(-1), math.Inf(1), math.Inf(-1)
		for i := 1; i < 200; i++ {
			x := float64(i) / 200
			pass, fail := bound.pass.LogAt(x, k, n), bound.fail.LogAt(x, k, n)
			margin := logDesigns(relative.pass, 2*x-1, 0, kb, nb, k, n)
			if pass < lastPass-hair || fail > lastFail+hair || margin < lastMargin-hair*(1+math.Abs(margin)) {
				t.Fatalf("at %v: PASS %v after %v, FAIL %v after %v, margin %v after %v", x, pass, lastPass, fail, lastFail, margin, lastMargin)
			}
			lastPass, lastFail, lastMargin = pass, fail, margin
		}
		for _, m := range []Mixture{bound.pass, bound.fail} {
			if a, b := m.Log(k, n), m.LogAt(.05, k, n); math.Abs(a-b) > 1e-9*(1+math.Abs(a)) && !(math.IsInf(a, -1) && math.IsInf(b, -1)) {
				t.Fatalf("%d/%d: Log %v, LogAt the same null %v", k, n, a, b)
			}
		}
	}
}
