package sequential

import "math"

// This file is for planning (statistics.md 7): how many nats of evidence one request adds on average, at rates that are assumed
// true. Whatever the test, the nearest distribution that the null allows grows away from the truth no faster than the
// Kullback-Leibler distance between the two, so log(1/alpha)/information requests are what an ideal test needs on average, up to
// what it gains by overshooting late. The e-processes here, which must find the alternative first, need 1.2 to 1.7 times that
// (statistics.md 4). Nothing of it enters a verdict.

// Counted is a part of all requests, and how often what is counted happens in it.
type Counted struct {
	Weight float64 // share of all requests, 0 to 1
	Rate   float64 // 0 to 1
}

// RateInformation is what a request tells, at the true rate of c, against "theta or more" (Down) or "theta or less" (Up): 0 where
// that is true.
func RateInformation(c Counted, theta float64, side Side) float64 {
	if float64(side)*(c.Rate-theta) <= 0 {
		return 0
	}
	return c.Weight * divergence(c.Rate, theta)
}

// SplitInformation is what a response tells the later of Split's two PASS sides, where a share unclassified of the responses names
// no version and counts against either side.
func SplitInformation(share, margin, unclassified float64) float64 {
	named := share * (1 - unclassified)
	return min(RateInformation(Counted{1, named}, share-margin, Up), RateInformation(Counted{1, named + unclassified}, share+margin, Down))
}

// DifferenceInformation is what a request tells against "the canary's rate is the baseline's plus margin or more" (Down), or "or
// less" (Up): the distance to the nearest pair of rates that differ by margin.
func DifferenceInformation(baseline, canary Counted, margin float64, side Side) float64 {
	if float64(side)*(canary.Rate-baseline.Rate-margin) <= 0 {
		return 0
	}
	// The distance is convex in r; its slope has one zero between the two rates (compare newDesign).
	slope := func(r float64) float64 {
		s := r + margin
		return baseline.Weight*(r-baseline.Rate)/(r*(1-r)) + canary.Weight*(s-canary.Rate)/(s*(1-s))
	}
	lo, hi := min(baseline.Rate, canary.Rate-margin), max(baseline.Rate, canary.Rate-margin)
	lo, hi = max(lo, 0), min(hi, 1-margin)
	r := bisect(lo, hi, func(r float64) bool { return slope(r) < 0 })
	return distance(baseline, r) + distance(canary, r+margin)
}

// distance is 0 in a part that holds no requests, whatever its rate.
func distance(c Counted, theta float64) float64 {
	if c.Weight == 0 || c.Rate == theta {
		return 0
	}
	return c.Weight * divergence(c.Rate, theta)
}

// QuantileInformation is what a request tells against "the canary's quantile 1-rho is above g(the baseline's)" (Down), or "is at
// most" (Up): the least over all x of the distance to "rho of the baseline is above x, and rho of the canary above g(x)".
// baselineSlow and canarySlow are the true shares of each arm's responses above x and above g(x), both falling in x; the least is
// attained between the x at which the one and the other is rho, which are from and to.
func QuantileInformation(rho float64, baseline, canary float64, baselineSlow, canarySlow func(x float64) float64, from, to float64, side Side) float64 {
	if !(from > 0 && to > from) {
		return 0
	}
	at := func(x float64) float64 {
		return RateInformation(Counted{baseline, baselineSlow(x)}, rho, -side) + RateInformation(Counted{canary, canarySlow(x)}, rho, side)
	}
	const steps = 64
	width := math.Log(to/from) / steps
	least, best := math.Inf(1), 0
	for i := range steps + 1 {
		if d := at(from * math.Exp(float64(i)*width)); d < least {
			least, best = d, i
		}
	}
	lo, hi := math.Log(from)+float64(max(best-1, 0))*width, math.Log(from)+float64(min(best+1, steps))*width
	for range 60 { // golden section would save a few evaluations of what is cheap
		a, b := lo+(hi-lo)/3, hi-(hi-lo)/3
		if at(math.Exp(a)) <= at(math.Exp(b)) {
			hi = b
		} else {
			lo = a
		}
	}
	return min(least, at(math.Exp((lo+hi)/2)))
}
