package sequential

import (
	"fmt"
	"math"
	"testing"
)

// Expectations and error rates without simulation: one count has few values.

// binomial is log P(k of n) at p.
func binomial(k, n int, p float64) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c + times(float64(k), math.Log(p)) + times(float64(n-k), math.Log1p(-p))
}

// expectation is E[E] over k of n at p.
func expectation(n int, p float64, logE func(k, n uint64) float64) float64 {
	sum := 0.0
	for k := range n + 1 {
		sum += math.Exp(binomial(k, n, p) + logE(uint64(k), uint64(n)))
	}
	return sum
}

// Every one-count test: the name, the edge of its null, the side on which the null lies, and log E.
type oneCount struct {
	name string
	edge float64
	null Side // Down: the rate is at most edge
	logE func(k, n uint64) float64
}

func oneCounts() []oneCount {
	var all []oneCount
	for _, l := range []Levels{nominal, {Alpha: 1e-6, Beta: .2, Budget: 1_000_000}, {Alpha: .3, Beta: .01, Budget: 10}} {
		for _, p := range []struct{ share, margin float64 }{{.5, .03}, {.1, .02}, {.01, .008}, {.99, .009}, {.5, .49}} {
			s := must(NewSplit(p.share, p.margin, l))
			turns := must(NewTurns(p.share, p.margin, l))
			name := fmt.Sprintf("split %v+-%v %v", p.share, p.margin, l)
			lo, hi := p.share-p.margin, p.share+p.margin
			count := func(k, n uint64) SplitCount { return SplitCount{Canary: k, N: n} }
			all = append(all,
				oneCount{name + " pass low", lo, Down, func(k, n uint64) float64 { e, _ := s.Pass(count(k, n)); return e }},
				oneCount{name + " pass high", hi, Up, func(k, n uint64) float64 { _, e := s.Pass(count(k, n)); return e }},
				oneCount{name + " fail low", lo, Up, func(k, n uint64) float64 { e, _, _ := s.Fail(count(k, n)); return e }},
				oneCount{name + " fail high", hi, Down, func(k, n uint64) float64 { _, e, _ := s.Fail(count(k, n)); return e }},
				oneCount{name + " turns", turns.Theta(), Up, func(k, n uint64) float64 { return turns.Fail(k, n-k) }},
			)
		}
		for _, theta := range []float64{1e-4, .01, .05, .5, .99} {
			b := must(NewBound(theta, l))
			c := must(NewCleanRun(theta, l.Alpha))
			name := fmt.Sprintf("bound %v %v", theta, l)
			all = append(all, oneCount{name + " pass", theta, Up, b.Pass}, oneCount{name + " fail", theta, Down, b.Fail},
				oneCount{name + " clean run", theta, Up, c.Log})
		}
	}
	return all
}

// E[E] is 1 at the edge of the null and below 1 inside it.
func TestExpectationIsAtMostOne(t *testing.T) {
	for _, c := range oneCounts() {
		for _, n := range []int{1, 2, 7, 50} {
			if e := expectation(n, c.edge, c.logE); math.Abs(e-1) > 1e-10 {
				t.Errorf("%s: E[E] = %.12f at the edge after %d, want 1", c.name, e, n)
			}
			for _, part := range []float64{.01, .3, .9} {
				p := c.edge * part
				if c.null == Up {
					p = 1 - (1-c.edge)*part
				}
				if e := expectation(n, p, c.logE); e >= 1 {
					t.Errorf("%s: E[E] = %.12f at %v after %d, want below 1", c.name, e, p, n)
				}
			}
		}
	}
}

// The mean of the split's two FAIL sides, over the whole band.
func TestSplitFailMeanExpectation(t *testing.T) {
	s := must(NewSplit(.5, .1, nominal))
	mean := func(k, n uint64) float64 { _, _, m := s.Fail(SplitCount{Canary: k, N: n}); return m }
	for _, n := range []int{1, 10, 50} {
		for _, p := range []float64{.4, .45, .5, .55, .6} {
			if e := expectation(n, p, mean); e > 1 || e < .3 {
				t.Errorf("E[E] = %v at %v after %d", e, p, n)
			}
		}
		if e := expectation(n, .3, mean); n > 1 && e <= 1 {
			t.Errorf("E[E] = %v at .3 after %d: no evidence outside the band", e, n)
		}
	}
}

// Two counts: baseline at p, canary at p + margin is the edge of both nulls, in it the averages may lie anywhere beyond.
func TestDifferenceExpectation(t *testing.T) {
	greatest := map[string]float64{}
	for _, before := range []*Rate{nil, {3, 3000}, {40, 50}} {
		for _, margin := range []float64{.005, .1, .3} {
			for _, share := range []float64{.5, .1} {
				d := must(NewDifference(share, margin, before, nominal))
				for _, arms := range [][2]int{{1, 1}, {10, 10}, {25, 25}, {40, 5}} {
					for _, p := range []float64{0, 1e-3, .01, .1, .35, .5, .69} {
						q := min(p+margin, 1)
						for _, side := range []struct {
							name string
							p, q float64
							logE func(kb, nb, kc, nc uint64) float64
						}{
							{"pass", p, q, d.Pass}, {"pass", p / 2, q, d.Pass}, {"pass", p, (1 + q) / 2, d.Pass},
							{"fail", p, q, d.Fail}, {"fail", (1 + p) / 2, q, d.Fail}, {"fail", p, q / 2, d.Fail},
						} {
							e := expectation(arms[0], side.p, func(kb, nb uint64) float64 {
								return math.Log(expectation(arms[1], side.q, func(kc, nc uint64) float64 {
									return side.logE(kb, nb, kc, nc)
								}))
							})
							if e > 1+1e-10 {
								t.Errorf("%s, margin %v, share %v, before %v, arms %v, rates %v and %v: E[E] = %v",
									side.name, margin, share, before, arms, side.p, side.q, e)
							}
							greatest[side.name] = max(greatest[side.name], e)
						}
					}
				}
			}
		}
	}
	t.Log("greatest E[E]:", greatest)
	if greatest["pass"] < .99 || greatest["fail"] < .95 {
		t.Errorf("greatest E[E] %v: valid but wasteful, the normaliser is not tight", greatest)
	}
}

// The product test at one latency: with both arms at rho E[E] is 1; baseline rarer slow and canary oftener is the PASS null.
func TestJointExpectation(t *testing.T) {
	for _, p := range []float64{.5, .95, .99, .01} {
		for _, margin := range []Margin{{Ratio: .1}, {Ratio: 5}, {AddNS: 1e6}} {
			q := must(NewQuantile(p, margin, 12, 1e5, DefaultGeometry, nominal))
			rho := 1 - p
			check := func(e *joint, pb, pc float64) float64 {
				return expectation(12, pb, func(kb, nb uint64) float64 {
					return math.Log(expectation(9, pc, func(kc, nc uint64) float64 { return e.log(kb, nb, kc, nc) }))
				})
			}
			for _, e := range []*joint{&q.pass, &q.fail} {
				if got := check(e, rho, rho); math.Abs(got-1) > 1e-10 {
					t.Errorf("p %v, %+v: E[E] = %v with both arms at rho", p, margin, got)
				}
			}
			if got := check(&q.pass, rho/2, (1+rho)/2); got >= 1 {
				t.Errorf("p %v, %+v: pass E[E] = %v inside the null", p, margin, got)
			}
			if got := check(&q.fail, (1+rho)/2, rho/2); got >= 1 {
				t.Errorf("p %v, %+v: fail E[E] = %v inside the null", p, margin, got)
			}
		}
	}
}

// walk is the exact distribution of k at rate p over n = 1..limit, with a look at every response. stop says, from n to n, which k end
// it: those at or below low and those at or above high; neither may fall. It returns the probability of having stopped and the
// mean n at which it did.
func walk(p float64, limit int, low, high func(k, n int) bool) (stopped, meanN float64) {
	alive := make([]float64, limit+2)
	alive[0] = 1
	first, last := 0, 0 // the k that are alive
	below, above := -1, 0
	for n := 1; n <= limit; n++ {
		alive[last+1] = 0
		last++
		for k := last; k >= first; k-- {
			in := 0.0
			if k > first {
				in = alive[k-1] * p
			}
			alive[k] = alive[k]*(1-p) + in
		}
		for below+1 <= n && low(below+1, n) {
			below++
		}
		for above <= n && !high(above, n) {
			above++
		}
		for first <= last && (first <= below || alive[first] < 1e-40) {
			if first <= below {
				stopped += alive[first]
				meanN += alive[first] * float64(n)
			}
			alive[first] = 0
			first++
		}
		for last >= first && (last >= above || alive[last] < 1e-40) {
			if last >= above {
				stopped += alive[last]
				meanN += alive[last] * float64(n)
			}
			alive[last] = 0
			last--
		}
		if first > last {
			break
		}
	}
	return stopped, meanN / stopped
}

func never(int, int) bool { return false }

// Looking at every response, the wrong verdicts stay below alpha and beta; and they are not so rare that the tests would be blunt.
func TestErrorRatesExactly(t *testing.T) {
	const limit = 20_000
	check := func(name string, rate, level, least float64) {
		t.Helper()
		t.Logf("%s: %.3g of %g", name, rate, level)
		if !(rate <= level) {
			t.Errorf("%s: wrong with probability %v, allowed %v", name, rate, level)
		}
		if rate < least*level {
			t.Errorf("%s: wrong with probability %v of %v: blunt", name, rate, level)
		}
	}
	for _, c := range []struct {
		share, margin, alpha, least float64
	}{{.5, .03, .05, .4}, {.5, .03, 1e-6, .1}, {.1, .02, .05, .4}, {.01, .008, .05, .2}, {.01, .008, 1e-6, .05}, {.99, .009, .05, .2}, {.99, .009, 1e-6, .05}} {
		l := Levels{c.alpha, c.alpha, 50_000}
		s := must(NewSplit(c.share, c.margin, l))
		threshold := -math.Log(c.alpha)
		count := func(k, n int) SplitCount { return SplitCount{Canary: uint64(k), N: uint64(n)} }
		passLow := func(k, n int) bool { e, _ := s.Pass(count(k, n)); return e >= threshold }
		passHigh := func(k, n int) bool { _, e := s.Pass(count(k, n)); return e >= threshold }
		failLow := func(k, n int) bool { low, high, e := s.Fail(count(k, n)); return e >= threshold && low > high }
		failHigh := func(k, n int) bool { low, high, e := s.Fail(count(k, n)); return e >= threshold && high > low }
		name := fmt.Sprintf("split %v+-%v", c.share, c.margin)
		rate, _ := walk(c.share-c.margin, limit, never, passLow)
		check(name+" at the lower edge, PASS", rate, c.alpha, c.least)
		rate, _ = walk(c.share+c.margin, limit, passHigh, never)
		check(name+" at the upper edge, PASS", rate, c.alpha, c.least)
		rate, _ = walk(c.share-c.margin, limit, failLow, failHigh)
		check(name+" at the lower edge, FAIL", rate, c.alpha, c.least/4) // half of the mean is on the side that is never right
		rate, _ = walk(c.share+c.margin, limit, failLow, failHigh)
		check(name+" at the upper edge, FAIL", rate, c.alpha, c.least/4)
	}
	for _, c := range []struct{ theta, alpha, least float64 }{{.01, .05, .4}, {.01, 1e-6, .1}, {.05, .05, .4}, {.5, .05, .4}, {.9, .05, .4}} {
		b := must(NewBound(c.theta, Levels{c.alpha, c.alpha, 100_000}))
		threshold := -math.Log(c.alpha)
		pass := func(k, n int) bool { return b.Pass(uint64(k), uint64(n)) >= threshold }
		fail := func(k, n int) bool { return b.Fail(uint64(k), uint64(n)) >= threshold }
		name := fmt.Sprintf("bound %v", c.theta)
		rate, _ := walk(c.theta, limit, pass, never)
		check(name+", PASS", rate, c.alpha, c.least)
		rate, _ = walk(c.theta, limit, never, fail)
		check(name+", FAIL", rate, c.alpha, c.least)
	}
}

// walkInto is walk with the band of k from low to high as the end, both of which may only rise.
func walkInto(p float64, limit int, low, high func(k, n int) bool) (stopped, meanN float64) {
	alive := make([]float64, limit+2)
	alive[0] = 1
	from, to := 0, -1
	for n := 1; n <= limit; n++ {
		for k := n; k > 0; k-- {
			alive[k] = alive[k]*(1-p) + alive[k-1]*p
		}
		alive[0] *= 1 - p
		for from <= n && !low(from, n) {
			from++
		}
		for to+1 <= n && high(to+1, n) {
			to++
		}
		for k := from; k <= to; k++ {
			stopped += alive[k]
			meanN += alive[k] * float64(n)
			alive[k] = 0
		}
	}
	return stopped, meanN / stopped
}

// The price of a verdict, exactly, looking at every response, to 1 %: a test that is valid and slow would be caught here. The design
// (its section 4) simulated much the same: PASS 2,747; FAIL 5,734 (looking at every 20th), 488, 21, 11; bound: 440 (without the
// responses' granularity 430), 558, 2,297; 1,161, 359 and 41 with the equal FAIL weights of its first version.
func TestRequestsToVerdict(t *testing.T) {
	s := must(NewSplit(.5, .03, nominal))
	b := must(NewBound(.01, Levels{.05, .05, 100_000}))
	threshold := -math.Log(.05)
	count := func(k, n int) SplitCount { return SplitCount{Canary: uint64(k), N: uint64(n)} }
	passLow := func(k, n int) bool { e, _ := s.Pass(count(k, n)); return e >= threshold }
	passHigh := func(k, n int) bool { _, e := s.Pass(count(k, n)); return e >= threshold }
	failLow := func(k, n int) bool { low, high, e := s.Fail(count(k, n)); return e >= threshold && low > high }
	failHigh := func(k, n int) bool { low, high, e := s.Fail(count(k, n)); return e >= threshold && high > low }
	pass := func(k, n int) bool { return b.Pass(uint64(k), uint64(n)) >= threshold }
	fail := func(k, n int) bool { return b.Fail(uint64(k), uint64(n)) >= threshold }
	check := func(name string, stopped, mean, want float64) {
		t.Helper()
		t.Logf("%s: %.4f after %.0f on average", name, stopped, mean)
		if stopped < .98 || math.Abs(mean-want) > .01*want+.5 {
			t.Errorf("%s: called with probability %.3f after %.0f on average, want %.0f", name, stopped, mean, want)
		}
	}
	stopped, mean := walkInto(.5, 12_000, passLow, passHigh)
	check("split 50 % passes", stopped, mean, 2747)
	for _, edge := range []float64{.47, .53} {
		wrong, _ := walkInto(edge, 12_000, passLow, passHigh)
		t.Logf("split %v passes: %.4f", edge, wrong)
		if wrong > .05 || wrong < .03 {
			t.Errorf("a share of %v passes with probability %v", edge, wrong)
		}
	}
	for share, want := range map[float64]float64{.45: 5516, .40: 492, .10: 21, 0: 11} {
		stopped, mean = walk(share, 40_000, failLow, failHigh)
		check(fmt.Sprintf("split %v fails", share), stopped, mean, want)
	}
	for rate, want := range map[float64]float64{0: 430, .001: 547, .005: 2320} {
		stopped, mean = walk(rate, 40_000, pass, never)
		check(fmt.Sprintf("rate %v passes", rate), stopped, mean, want)
	}
	for rate, want := range map[float64]float64{.02: 1082, .03: 343, .10: 37} {
		stopped, mean = walk(rate, 40_000, never, fail)
		check(fmt.Sprintf("rate %v fails", rate), stopped, mean, want)
	}
}
