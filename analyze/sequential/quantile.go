package sequential

import (
	"fmt"
	"math"
)

// Quantile is 2.5: the canary's quantile p is at most g(the baseline's), g(x) the larger of (1+Ratio)x and x+AddNS.
//
// Theorem (Howard and Ramdas 2022, with a margin). With rho = 1-p, the violated null says that at x = Q_b at most rho of the
// baseline is above x AND more than rho of the canary above g(x). For that x the product of two Bernoulli ratios is an e-process;
// which x it is nobody knows, so the minimum over all x is taken. It is at most the right one, hence valid, with no assumption on
// the distributions. Between the edges of a bin each count is rounded to the side that speaks less.
//
// A Quantile keeps the last minimisers, to start the next search there: one goroutine at a time. Results do not depend on them.
type Quantile struct {
	geometry   Geometry
	margin     Margin
	toPass     float64
	pass, fail joint
	passLimit  []int32 // for the x in bin j, at index j+1: the bin that holds the least g(x)
	failLimit  []int32 // the first bin all of which is above the greatest g(x)
	passHint   int
	failHint   int
}

// Margin is how much slower the canary may be. At least one of the two is above 0; with both, the larger decides.
type Margin struct {
	Ratio float64 // of the baseline's quantile: .1 is 10 %
	AddNS float64 // ns
}

// joint is the e-process at one x: a mixture of pairs of alternatives to rho, and the product of two grids.
type joint struct {
	pairs            []pair
	logGrid          float64 // log weight of the product
	baseline, canary Mixture
	temper           temper
}

// pair is one alternative (q_b, q_c): the log likelihood ratios of slow and fast responses of each arm.
type pair struct{ logWeight, slowB, fastB, slowC, fastC float64 }

const gridShare = 0.1 // of the weight, to the product of grids

// positions say how a pair divides the deviation between the arms, for the minimum over x wanders: one position alone loses 10 %.
var positions = []struct{ x, weight float64 }{{-1, .1}, {-.5, .2}, {0, .4}, {.5, .2}, {1, .1}}

type scale struct{ kappa, weight float64 }

var (
	passScales = []scale{{1, .7}, {.5, .3}}
	failScales = []scale{{.5, .25}, {1, .25}, {2, .25}, {4, .25}}
)

// NewQuantile wants 0 < p < 1, a margin, a valid geometry, and what is known of the baseline from data that the test does not see:
// tailIndex (1 to 12, from TailIndex; 0 is "not known" and means 4) and the quantile p itself, ns (0 is "not known"). Both only
// aim the alternatives; a wrong guess costs responses, never validity.
func NewQuantile(p float64, m Margin, tailIndex, baselineQuantileNS float64, g Geometry, l Levels) (*Quantile, error) {
	if !inside(p) {
		return nil, fmt.Errorf("quantile: p %v must be above 0 and below 1", p)
	}
	if !finite(m.Ratio) || !finite(m.AddNS) || m.Ratio == 0 && m.AddNS == 0 {
		return nil, fmt.Errorf("quantile: margin %v x, %v ns: both must be at least 0 and finite, one above 0", m.Ratio, m.AddNS)
	}
	if tailIndex != 0 && !(tailIndex >= 1 && tailIndex <= 12) {
		return nil, fmt.Errorf("quantile: tail index %v must be 1 to 12, or 0 for not known", tailIndex)
	}
	if !finite(baselineQuantileNS) {
		return nil, fmt.Errorf("quantile: baseline quantile %v ns must be at least 0 and finite", baselineQuantileNS)
	}
	if !(g.First > 0 && g.LogStep > 0) || !finite(g.First) || !finite(g.LogStep) || g.Last < 0 || g.Last > 1_000_000 {
		return nil, fmt.Errorf("quantile: geometry %+v: first and log step must be above 0, last 0 to 1,000,000", g)
	}
	if err := l.Validate(); err != nil {
		return nil, fmt.Errorf("quantile: %w", err)
	}
	rho := 1 - p
	h := tailShift(m, tailIndex, baselineQuantileNS)
	q := &Quantile{geometry: g, margin: m, toPass: l.pass(), passHint: Underflow, failHint: Underflow}
	q.pass = newJoint(rho, h, +1, passScales, l.Budget/2, l.pass())
	q.fail = newJoint(rho, h, -1, failScales, l.Budget/2, l.fail())
	q.passLimit, q.failLimit = limits(m, g)
	return q, nil
}

// Temper makes the test one for hits that come in blocks of phi alike (see Mixture.Tempered).
func (q *Quantile) Temper(phi float64) {
	for _, e := range []*joint{&q.pass, &q.fail} {
		e.temper = temper(phi)
		e.baseline, e.canary = e.baseline.Tempered(phi), e.canary.Tempered(phi)
	}
}

// finite reports 0 <= x < Inf, which no NaN is.
func finite(x float64) bool { return x >= 0 && !math.IsInf(x, 1) }

// tailShift is h: half the log of the factor by which the margin would change the share of slow responses, in a tail that falls
// as x^-tailIndex.
func tailShift(m Margin, tailIndex, baselineQuantileNS float64) float64 {
	if tailIndex == 0 {
		tailIndex = 4
	}
	stretch := math.Log1p(m.Ratio)
	if m.AddNS > 0 && baselineQuantileNS > 0 {
		stretch = max(stretch, math.Log1p(m.AddNS/baselineQuantileNS))
	}
	if stretch == 0 {
		stretch = math.Log1p(0.1) // ns of an unknown quantile: aim as the default margin does
	}
	return tailIndex / 2 * stretch
}

// TailIndex is the tail index a of 2.5: how fast the share of slow responses falls with the latency (as x^-a), from the latencies
// that half of rho and twice rho exceed: Q(1-rho/2) and Q(1-2rho), in one unit. 1 to 12; 4 when they say nothing.
func TailIndex(qHalf, qDouble float64) float64 {
	if !(qHalf > 0 && qDouble > 0) || math.IsInf(qHalf, 1) || math.IsInf(qDouble, 1) {
		return 4
	}
	if qHalf <= qDouble { // a tail thinner than can be told
		return 12
	}
	return min(max(math.Log(4)/math.Log(qHalf/qDouble), 1), 12)
}

// newJoint builds the mixture at one x. side +1 is PASS: baseline alternatives above rho, canary's below. side -1 is FAIL, the
// mirror image.
func newJoint(rho, h float64, side float64, scales []scale, budget uint64, threshold float64) joint {
	ceiling := max(0.98, rho) // a cap below rho would put an alternative on the wrong side of it
	e := joint{logGrid: math.Log(gridShare)}
	for _, s := range scales {
		for _, at := range positions {
			qb := min(rho*math.Exp(side*h*s.kappa*(1+side*at.x)), ceiling)
			qc := min(rho*math.Exp(-side*h*s.kappa*(1-side*at.x)), ceiling)
			e.pairs = append(e.pairs, pair{
				logWeight: math.Log((1 - gridShare) * s.weight * at.weight),
				slowB:     math.Log(qb / rho),
				fastB:     math.Log1p(-qb) - math.Log1p(-rho),
				slowC:     math.Log(qc / rho),
				fastC:     math.Log1p(-qc) - math.Log1p(-rho),
			})
		}
	}
	sideB, sideC := Up, Down
	if side < 0 {
		sideB, sideC = Down, Up
	}
	gridB, gridC := Grid(rho, sideB, budget, threshold), Grid(rho, sideC, budget, threshold)
	e.baseline = NewMixture(rho, gridB, uniform(len(gridB), 1))
	e.canary = NewMixture(rho, gridC, uniform(len(gridC), 1))
	return e
}

// log is log E at one x: k of n slow, for each arm.
func (e *joint) log(kb, nb, kc, nc uint64) float64 {
	if nb == 0 && nc == 0 {
		return 0
	}
	slowB, fastB := split(kb, nb)
	slowC, fastC := split(kc, nc)
	slowB, fastB, slowC, fastC = e.temper.of(slowB), e.temper.of(fastB), e.temper.of(slowC), e.temper.of(fastC)
	s := emptySum
	for i := range e.pairs {
		p := &e.pairs[i]
		s.add(p.logWeight + times(slowB, p.slowB) + times(fastB, p.fastB) + times(slowC, p.slowC) + times(fastC, p.fastC))
	}
	s.add(e.logGrid + e.baseline.Log(kb, nb) + e.canary.Log(kc, nc))
	return s.value()
}

// limits are g, rounded to bins against the one who asks. The x of bin j lie in [e_j, e_{j+1}), those of the underflow in [0, e_0).
// PASS must not miss a canary response above g(x): it counts from the bin that holds g(e_j). FAIL must count none that is not:
// from the edge at or above g(e_{j+1}). Of the two parts of the margin the higher bin is the larger g.
func limits(m Margin, g Geometry) (pass, fail []int32) {
	pass, fail = make([]int32, g.Last+2), make([]int32, g.Last+2)
	reach := m.reaching(g)
	steps := int(math.Ceil(m.steps(g)))
	for j := Underflow; j <= g.Last; j++ {
		above := j + 1 + steps
		if m.AddNS > 0 {
			above = max(above, g.edgeAbove(g.edge(j+1)+m.AddNS))
		}
		pass[j+1] = int32(reach(j))
		fail[j+1] = int32(min(above, g.Last+1))
	}
	return pass, fail
}

// steps is 1+Ratio in bins; beyond the last bin all are alike.
func (m Margin) steps(g Geometry) float64 {
	return min(math.Log1p(m.Ratio)/g.LogStep, float64(2*g.Last+4))
}

// reaching is limits' pass, one bin at a time.
func (m Margin) reaching(g Geometry) func(j int) int {
	steps := int(math.Floor(m.steps(g)))
	return func(j int) int {
		holds, least := Underflow, 0.0
		if j > Underflow {
			holds, least = j+steps, g.edge(j)
		}
		if m.AddNS > 0 {
			holds = max(holds, g.bin(least+m.AddNS))
		}
		return min(holds, g.Last) // the last bin is open: what is above g is in it
	}
}

// Pass is log E against "the canary's quantile is above g(the baseline's)", and the bin of x that attains it (-1 the underflow; the
// lowest, if several do). b and c are the arms' successes. anon are successes that name no version, pending the hits slower than
// anything that may be the canary's: hanging, or timed out without a version. At each x an anon hit counts against the canary if
// it may be above g(x), against the baseline if it may be at or below x, and not at all between: there it would only help.
func (q *Quantile) Pass(b, c, anon Tails, pending uint64) (logE float64, bin int) {
	s := q.passScan(b, c, anon, pending)
	logE, q.passHint = s.minimum(q.passHint)
	return logE, q.passHint
}

func (q *Quantile) passScan(b, c, anon Tails, pending uint64) scan {
	return scan{e: &q.pass, b: b, c: c, anon: anon, pending: pending, limit: q.passLimit, last: q.geometry.Last}
}

func (q *Quantile) failScan(b, c, anon Tails, pending uint64) scan {
	return scan{e: &q.fail, b: b, c: c, anon: anon, pending: pending, limit: q.failLimit, last: q.geometry.Last, fail: true}
}

// AtMost is Pass and Fail at the x where each was least before: no less than either, for one evaluation instead of a search. What
// does not reach a level here does not reach it.
func (q *Quantile) AtMost(b, c, anon Tails, pending uint64) (pass, fail float64) {
	p, f := q.passScan(b, c, anon, pending), q.failScan(b, c, anon, pending)
	return p.at(q.passHint), f.at(q.failHint)
}

// Fail is log E against "the canary's quantile is at most g(the baseline's)", and the bin as for Pass. pending are the hits slower
// than anything that may be the baseline's. At each x an anon hit counts against the baseline if it may be above x, and as a fast
// one of the canary if it may be at or below g(x): between x and g(x) both, for which is worse depends on the alternative, and
// both together are at most either.
func (q *Quantile) Fail(b, c, anon Tails, pending uint64) (logE float64, bin int) {
	s := q.failScan(b, c, anon, pending)
	logE, q.failHint = s.minimum(q.failHint)
	return logE, q.failHint
}

// UpperRatio is the least increase of the quantile that is ruled out (2.6), by the alternatives of Pass at alpha, as a ratio and in
// whole bins: .1 means that the canary is less than 10 % slower. 0 when no increase is possible, +Inf while none is ruled out.
func (q *Quantile) UpperRatio(b, c, anon Tails, pending uint64) float64 {
	s := scan{e: &q.pass, b: b, c: c, anon: anon, pending: pending, last: q.geometry.Last}
	shift, ok := q.leastProven(&s, 0, s.last+1, func(k int) { s.shift = k })
	if !ok {
		return math.Inf(1)
	}
	return math.Expm1(q.geometry.LogStep * float64(shift))
}

// UpperTimes is what is ruled out in terms of the margin: the canary's quantile exceeds the baseline's by less than so many times
// Ratio and AddNS, whichever is larger. What passes at alpha is at most 1, which UpperRatio is not: a margin of both parts allows
// more than its ratio wherever the baseline may be faster. In steps of a bin; 0 and +Inf as for UpperRatio.
func (q *Quantile) UpperTimes(b, c, anon Tails, pending uint64) float64 {
	s := q.passScan(b, c, anon, pending)
	most := 2 * (s.last + 2)
	times := func(k int) float64 {
		if k == -most {
			return 0
		}
		return math.Exp(q.geometry.LogStep * float64(k))
	}
	k, ok := q.leastProven(&s, -most, most, func(k int) {
		m := Margin{Ratio: q.margin.Ratio * times(k), AddNS: q.margin.AddNS * times(k)}
		s.limit = nil
		s.reaches = m.reaching(q.geometry)
	})
	if !ok {
		return math.Inf(1)
	}
	return times(k)
}

// leastProven is the least of the bounds low to high that s proves at alpha once set to it. A greater one lowers K_c at every x: E
// rises in it.
func (q *Quantile) leastProven(s *scan, low, high int, set func(int)) (least int, ok bool) {
	hint := q.passHint
	proven := func(k int) bool {
		set(k)
		var e float64
		e, hint = s.minimum(hint)
		return e >= q.toPass
	}
	if !proven(high) {
		return 0, false
	}
	for low < high {
		if mid := low + (high-low)/2; proven(mid) {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return high, true
}

// scan is the minimum over x of one look.
type scan struct {
	e          *joint
	b, c, anon Tails
	pending    uint64
	limit      []int32         // nil: as reaches says
	reaches    func(j int) int // nil: shift bins
	shift      int
	last       int
	fail       bool
	evaluated  int // how often E was computed: the price of the search
}

// reach is the first bin whose hits count as above g(x), x in bin j.
func (s *scan) reach(j int) int {
	if s.limit != nil {
		return int(s.limit[j+1])
	}
	if s.reaches != nil {
		return s.reaches(j)
	}
	if j == Underflow {
		return Underflow
	}
	return min(j+s.shift, s.last)
}

// baseline is (K_b, n_b) for x in bin j: PASS counts what is surely above x, FAIL what may be.
func (s *scan) baseline(j int) (k, n uint64) {
	if s.fail {
		extra := s.anon.from(j) + s.pending
		return s.b.from(j) + extra, s.b.from(Underflow) + extra
	}
	return s.b.from(j + 1), s.b.from(Underflow) + s.anon.from(Underflow) - s.anon.from(j+1)
}

// canary is (K_c, n_c) for x in bin j: PASS counts what may be above g(x), FAIL what surely is.
func (s *scan) canary(j int) (k, n uint64) {
	i := s.reach(j)
	if s.fail {
		return s.c.from(i), s.c.from(Underflow) + s.anon.from(Underflow) - s.anon.from(i)
	}
	extra := s.anon.from(i) + s.pending
	return s.c.from(i) + extra, s.c.from(Underflow) + extra
}

func (s *scan) at(j int) float64 { return s.floor(j, j) }

// floor is at most E at every x in bins lo to hi. All counts are monotone in j. On the PASS side E falls with fewer slow and more
// fast baseline responses, which the highest bin has, and with more slow canary ones, which the lowest has; on the FAIL side the
// other way round. In floating point too: each term is a chain of rounded, hence monotone, operations (the sum of exponentials is
// so to a few units in the last place only, see minimum).
func (s *scan) floor(lo, hi int) float64 {
	if s.fail {
		lo, hi = hi, lo
	}
	kb, nb := s.baseline(hi)
	kc, nc := s.canary(lo)
	s.evaluated++
	return s.e.log(kb, nb, kc, nc)
}

// ceiling is at least E at every x in bins lo to hi: the corner opposite to floor's.
func (s *scan) ceiling(lo, hi int) float64 { return s.floor(hi, lo) }

// flat reports that all bins from lo to hi have the same counts, which they have if the ends do.
func (s *scan) flat(lo, hi int) bool {
	if lo == hi {
		return true
	}
	kb1, nb1 := s.baseline(lo)
	kb2, nb2 := s.baseline(hi)
	kc1, nc1 := s.canary(lo)
	kc2, nc2 := s.canary(hi)
	return kb1 == kb2 && nb1 == nb2 && kc1 == kc2 && nc1 == nc2
}

// span is a range of bins still to be searched, with a floor under its values.
type span struct {
	lo, hi int
	floor  float64
}

// minimum is the value of the full scan over all bins, and the first bin that has it, by branch and bound: a range whose floor is
// above the best value so far holds nothing better. The search starts with the bin that won last time.
//
// Neither the value nor the bin may depend on where the search began. Hence the slack, which keeps ranges that rounding has put a
// hair too high, and ranges with the same value, of which the first bin counts. Among the latter are long plateaus where no count
// matters any more (one arm without responses: only the pairs that expect nothing of the other arm are left); there the value at
// the least and at the most favourable corner is one number, to the bit, and so is all between.
func (s *scan) minimum(hint int) (least float64, bin int) {
	bin = min(max(hint, Underflow), s.last)
	least = s.at(bin)
	var stack [64]span // halving 1,000,002 bins is 20 deep, one waiting at each depth
	stack[0] = span{Underflow, s.last, s.floor(Underflow, s.last)}
	for top := 1; top > 0; {
		top--
		r := stack[top]
		slack := 1e-14 * (1 + math.Abs(least))
		if r.floor > least+slack {
			continue
		}
		if s.flat(r.lo, r.hi) || r.floor > least-slack && r.floor == s.ceiling(r.lo, r.hi) { // then the floor is the value
			if r.floor < least || r.floor == least && r.lo < bin {
				least, bin = r.floor, r.lo
			}
			continue
		}
		mid := r.lo + (r.hi-r.lo)/2
		near := span{r.lo, mid, s.floor(r.lo, mid)}
		far := span{mid + 1, r.hi, s.floor(mid+1, r.hi)}
		if far.floor < near.floor {
			near, far = far, near
		}
		stack[top], stack[top+1] = far, near
		top += 2
	}
	return least, bin
}
