package sequential

import (
	"fmt"
	"math"
)

// BetaSequence is Robbins' mixture confidence sequence for a probability: the likelihood ratio of a Beta(a, b) prior against each
// theta. For graphs only: it is valid for independent hits of one rate, and slower than the gate's own tests.
type BetaSequence struct{ a, b float64 }

// NewBetaSequence wants a and b above 0 and finite; Beta(1/2, 1/2) and Beta(1, 1) are usual.
func NewBetaSequence(a, b float64) (BetaSequence, error) {
	if !(a > 0 && b > 0) || math.IsInf(a, 1) || math.IsInf(b, 1) {
		return BetaSequence{}, fmt.Errorf("beta sequence: a %v and b %v must be above 0 and finite", a, b)
	}
	return BetaSequence{a, b}, nil
}

// Interval holds the probability at all looks at once with probability 1 - alpha or more (alpha above 0, below 1), after k hits of
// n: all theta whose likelihood ratio is below 1/alpha. [0,1] while there is nothing to say, or for an alpha out of range.
func (s BetaSequence) Interval(k, n uint64, alpha float64) (lo, hi float64) {
	if n == 0 || !inside(alpha) || !(s.a > 0) {
		return 0, 1
	}
	hits, misses := split(k, n)
	excluded := func(theta float64) bool { return s.Log(k, n, theta) >= -math.Log(alpha) }
	lo, hi = 0, 1
	peak := hits / (hits + misses) // the likelihood is greatest here, and falls to both sides
	if hits > 0 {
		lo = bisect(0, peak, excluded)
	}
	if misses > 0 {
		hi = bisect(1, peak, excluded)
	}
	return lo, hi
}

// Log is log E against "the probability is theta", 0 to 1.
func (s BetaSequence) Log(k, n uint64, theta float64) float64 {
	hits, misses := split(k, n)
	return logBeta(s.a+hits, s.b+misses) - logBeta(s.a, s.b) - times(hits, math.Log(theta)) - times(misses, math.Log1p(-theta))
}

func logBeta(a, b float64) float64 {
	x, _ := math.Lgamma(a)
	y, _ := math.Lgamma(b)
	z, _ := math.Lgamma(a + b)
	return x + y - z
}
