package capacity

import (
	"cmp"
	"math"
	"slices"
)

// belief is where the capacity may be, by all trials so far: a density over the logarithm of the rate, as probabilistic bisection
// has it (Horstein 1963; Waeber, Frazier and Henderson 2013). It forgives a trial that was disturbed, wherever it comes. It
// chooses where to look, what to ask again, and when to stop; a bound itself is proven by trials at its rate.
type belief struct {
	from, step float64   // logarithms of rates
	density    []float64 // their logarithms, not normalised
}

const (
	fine     = 10   // steps to the goal width
	coarse   = 4    // the same, where it is only weighed
	beyond   = 1.5  // times the highest rate, and the lowest divided by it: there it ends
	outside  = 0.25 // of all in between: as likely it is beyond either end, before any trial
	wild     = 0.05 // of trials that tell nothing of their rate: disturbed, or decided wrongly
	vague    = 0.15 // the same, of what a short trial leans to that did not decide
	sharp    = 0.1  // of the goal width: what a trial of Full can tell apart; shorter ones tell less
	closely  = 0.5  // of the goal width: as near to the capacity is what a trial at full length does not decide
	evenly   = 0.25 // of the goal width: as near to a quota is what it lets through
	unlikely = 0.1  // at either end of where it is looked for
	doubt    = 0.02 // of either bound, at most, when the search ends
)

// ignorant is the belief before any trial.
func ignorant(p *Plan, steps float64) belief {
	b := belief{from: math.Log(p.Lowest / beyond), step: math.Log1p(p.Width) / steps}
	b.density = make([]float64, 1+int((math.Log(p.Highest*beyond)-b.from)/b.step))
	ends := math.Log(float64(len(b.density)) * outside)
	b.density[0], b.density[len(b.density)-1] = ends, ends
	return b
}

// believe weighs trials, of a capacity that moved evenly by so much of its logarithm up to the last.
func believe(done []Done, p *Plan, moved float64) belief {
	b := ignorant(p, coarse)
	for i := range done {
		last := done[len(done)-1].At
		b.hear(&done[i], p, moved*float64(last-done[i].At)/float64(max(1, last-done[0].At)))
	}
	return b
}

// hear weighs one more trial, the logarithm of whose rate counts as so much higher.
func (b belief) hear(d *Done, p *Plan, higher float64) {
	rate := math.Log(cmp.Or(d.Allowed, d.Rate)) + higher
	for i := range b.density {
		b.density[i] += math.Log(d.likelihood(p, rate-b.from-float64(i)*b.step))
	}
}

// likelihood of what came of a trial, if the logarithm of the rate that it tells of lies so far above the capacity's.
func (d *Done) likelihood(p *Plan, above float64) float64 {
	tells := p.Width * min(1, sharp*float64(p.Full)/float64(max(d.Shortest, p.Short)))
	step := func(wild, above float64) float64 { return wild + (1-2*wild)/(1+math.Exp(-above/tells)) }
	switch {
	case d.Allowed > 0: // a quota is what it lets through
		at := above / (evenly * p.Width)
		if above < 0 {
			return wild + math.Exp(-at*at/2)
		}
		return vague + math.Exp(-at*at/2)
	case d.Outcome == Fail || d.Outcome == Limited:
		return step(wild, above)
	case d.Outcome == Pass:
		return step(wild, -above)
	case d.Outcome == Invalid, d.Outcome == Undecided && d.Purpose == Soak:
		return 1
	case d.Full():
		at := above / (closely * p.Width)
		switch d.Leaning {
		case Pass:
			at++
		case Fail:
			at--
		}
		return wild + math.Exp(-at*at/2)
	case d.Leaning == Fail:
		return step(vague, above)
	}
	return step(vague, -above)
}

// weight is the logarithm of how likely all of it is.
func (b belief) weight() float64 {
	most, sum := slices.Max(b.density), 0.0
	for _, l := range b.density {
		sum += math.Exp(l - most)
	}
	return most + math.Log(sum)
}

// quantile is the rate below which the capacity lies with a probability.
func (b belief) quantile(q float64) float64 {
	weight := b.weight()
	for i, l := range b.density {
		if x := math.Exp(l - weight); q > x {
			q -= x
		} else {
			return math.Exp(b.from + (float64(i)+q/x-0.5)*b.step)
		}
	}
	return math.Exp(b.from + float64(len(b.density))*b.step)
}
