package sequential

import (
	"fmt"
	"math"
)

// Difference is 2.4: the canary's error rate is at most the baseline's plus margin.
type Difference struct {
	margin     float64
	pass, fail []design
	toPass     float64 // log 1/alpha
	temper     temper
}

// Tempered is the difference for hits that come in blocks of phi alike (see Mixture.Tempered).
func (d Difference) Tempered(phi float64) Difference {
	d.temper = temper(phi)
	return d
}

// Rate is k errors among n responses.
type Rate struct{ K, N uint64 }

// design is one alternative: the pair of rates (q_b, q_c), seen from the nearest pair that the null allows.
type design struct {
	logWeight float64
	b, c      float64 // tilts: logit q_b - logit r, logit q_c - logit(r + margin)
	swingB    float64 // A = e^b - 1
	swingC    float64 // C = e^c - 1
}

// NewDifference wants 0 < share < 1 (the canary's share, for which the designs are best; the guarantee needs no share) and
// 0 < margin <= .6 (a difference of rates; at 0 or below the PASS designs would be invalid, E[E] = 18, and much above .6 no FAIL
// design is left). before is what the baseline did before the canary, or nil; it must be data that the test itself does not see.
func NewDifference(share, margin float64, before *Rate, l Levels) (Difference, error) {
	if !inside(share) {
		return Difference{}, fmt.Errorf("difference: share %v must be above 0 and below 1", share)
	}
	if !(margin > 0 && margin <= 0.6) {
		return Difference{}, fmt.Errorf("difference: margin %v must be above 0 and at most 0.6", margin)
	}
	if before != nil && before.K > before.N {
		return Difference{}, fmt.Errorf("difference: before holds %d errors of %d responses", before.K, before.N)
	}
	if err := l.Validate(); err != nil {
		return Difference{}, fmt.Errorf("difference: %w", err)
	}
	d := Difference{margin: margin, toPass: l.pass()}

	baselines := []float64{1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1}
	weights := uniform(len(baselines), 1)
	baselines, weights = withSpike(baselines, weights, before, 0.5)
	for i, q := range baselines {
		d.pass = appendDesign(d.pass, q, q, margin, share, weights[i])
	}

	baselines, weights = withSpike([]float64{3e-4, 3e-3, 3e-2}, []float64{.4, .4, .2}, before, 0.8)
	excess := []float64{.4, .9, 2, 6, 30} // of the margin, above it
	excessWeights := []float64{.25, .3, .25, .12, .08}
	for i, q := range baselines {
		for j, x := range excess {
			d.fail = appendDesign(d.fail, q, q+margin+x*margin, margin, share, weights[i]*excessWeights[j])
		}
	}
	normalise(d.pass)
	normalise(d.fail)
	return d, nil
}

// withSpike gives the before phase's rate the weight w, and the others the rest. (k + 1/2)/(n + 1) keeps it off 0.
func withSpike(q, weights []float64, before *Rate, w float64) ([]float64, []float64) {
	if before == nil || before.N == 0 {
		return q, weights
	}
	spike := (float64(before.K) + 0.5) / (float64(before.N) + 1)
	for i := range weights {
		weights[i] *= 1 - w
	}
	return append(q, spike), append(weights, w)
}

// appendDesign leaves out designs beyond .9: they are hardly ever true and need not be a probability.
func appendDesign(designs []design, qb, qc, margin, share, weight float64) []design {
	if qc >= 0.9 {
		return designs
	}
	d := newDesign(qb, qc, margin, share)
	d.logWeight = math.Log(weight)
	return append(designs, d)
}

// normalise makes the weights of the designs that were kept add up to 1.
func normalise(designs []design) {
	s := emptySum
	for _, d := range designs {
		s.add(d.logWeight)
	}
	for i := range designs {
		designs[i].logWeight -= s.value()
	}
}

// newDesign projects (qb, qc) on the null's edge p_c = p_b + margin: r minimises the Kullback-Leibler distance, weighted with the
// arms' shares, of (r, r + margin). The distance is convex in r, so its derivative has one zero between qb and qc - margin.
func newDesign(qb, qc, margin, share float64) design {
	slope := func(r float64) float64 {
		s := r + margin
		return (1-share)*(r-qb)/(r*(1-r)) + share*(s-qc)/(s*(1-s))
	}
	lo, hi := min(qb, qc-margin), max(qb, qc-margin)
	lo, hi = max(lo, 0), min(hi, 1-margin)
	r := bisect(lo, hi, func(r float64) bool { return slope(r) < 0 })
	d := design{
		b: logit(qb) - logit(r),
		c: logit(qc) - logit(r+margin),
	}
	d.swingB, d.swingC = math.Expm1(d.b), math.Expm1(d.c)
	return d
}

func logit(p float64) float64 { return math.Log(p) - math.Log1p(-p) }

// normaliser is D(n_b, n_c) at a margin from -1 to 1: the greatest n_b*psi_t(b) + n_c*psi_{t+margin}(c) over the baseline rates t
// that the null's edge allows. The function is concave in t, hence the closed form, clipped.
func (d *design) normaliser(margin, nb, nc float64) float64 {
	t := -(nb*(1+margin*d.swingC)/d.swingC + nc/d.swingB) / (nb + nc)
	t = min(max(t, 0, -margin), 1, 1-margin)
	return nb*math.Log1p(t*d.swingB) + nc*math.Log1p((t+margin)*d.swingC)
}

// log is the log of the weighted mean over the designs, with the null moved to margin and the tilts kept.
//
// Theorem. exp(b*k_b + c*k_c - sums of psi at the conditional probabilities) is a martingale for any random, changing assignment
// to the arms. By concavity of psi in p the sums are at most n*psi at the arms' average rates, by monotonicity under the null at
// most D. So the averages need satisfy the null, nothing else. For margin 0 and equal arms this is the e-variable of Turner, Ly
// and Grünwald.
func logDesigns(designs []design, margin float64, t temper, kb, nb, kc, nc uint64) float64 {
	if nb+nc == 0 || len(designs) == 0 {
		return 0
	}
	hitsB, hitsC := t.of(float64(min(kb, nb))), t.of(float64(min(kc, nc)))
	allB, allC := t.of(float64(nb)), t.of(float64(nc))
	s := emptySum
	for i := range designs {
		d := &designs[i]
		s.add(d.logWeight + d.b*hitsB + d.c*hitsC - d.normaliser(margin, allB, allC))
	}
	return s.value()
}

// Pass is log E against "the canary's rate is the baseline's plus margin, or more". Least favourable for a hit of unknown arm: an
// error counts in k_c and n_c, a success in n_b.
func (d Difference) Pass(kb, nb, kc, nc uint64) float64 {
	return logDesigns(d.pass, d.margin, d.temper, kb, nb, kc, nc)
}

// Fail is log E against "the canary's rate is at most the baseline's plus margin". Least favourable for a hit of unknown arm: an
// error counts in k_b and n_b, a success in n_c.
func (d Difference) Fail(kb, nb, kc, nc uint64) float64 {
	return logDesigns(d.fail, d.margin, d.temper, kb, nb, kc, nc)
}

// Upper is the least difference of rates that is ruled out from above (2.6), by the tilts of Pass at alpha, -1 to 1: the canary is
// worse by less than that; 1 while nothing is ruled out, below 0 when the canary is proven better.
func (d Difference) Upper(kb, nb, kc, nc uint64) float64 {
	// The null "at least m" shrinks as m grows, so D falls and E rises in m.
	return bisect(1, -1, func(m float64) bool { return logDesigns(d.pass, m, d.temper, kb, nb, kc, nc) >= d.toPass })
}
