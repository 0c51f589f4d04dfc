package sequential

import "math"

// logSum adds in log space, one term at a time: log(exp(t1) + exp(t2) + ...). Start from emptySum. No term overflows, because
// the greatest so far is taken out; a term of -Inf (a component that the data have ruled out) adds nothing.
type logSum struct{ max, sum float64 }

var emptySum = logSum{max: math.Inf(-1)}

func (s *logSum) add(t float64) {
	switch {
	case t == s.max: // first, for Inf - Inf is not a number
		s.sum++
	case t > s.max:
		s.sum = s.sum*math.Exp(s.max-t) + 1
		s.max = t
	case t > s.max-37: // e^-37 is less than half a unit in the last place of 1, and sum is at least 1
		s.sum += math.Exp(t - s.max)
	}
}

func (s *logSum) value() float64 {
	if math.IsInf(s.max, 0) {
		return s.max
	}
	return s.max + math.Log(s.sum)
}

// LogWeightedMean is the log of the weighted mean of e-values given as logs. The weights are at least 0 and are renormalised, so
// a caller leaves a group out by leaving it out of both slices (of one length), and the others share its weight in proportion. The mean of
// e-processes in one filtration is an e-process whatever their dependence, which is why the gate's FAIL side needs no correction
// for the number of checks (section 1). No entry, or no weight, is no evidence: 0.
func LogWeightedMean(logE, w []float64) float64 {
	total, s := 0.0, emptySum
	for i, e := range logE {
		if w[i] > 0 {
			total += w[i]
			s.add(math.Log(w[i]) + e)
		}
	}
	if total == 0 {
		return 0
	}
	return s.value() - math.Log(total)
}

// bisect narrows (yes, no) until no float lies usefully between, and returns the last point at which proven held: yes must be an
// end where it holds (or the limit of such points), no one where it does not. Returning the proven side is the rounding that keeps
// a displayed bound true.
func bisect(yes, no float64, proven func(x float64) bool) float64 {
	for range 200 {
		mid := yes + (no-yes)/2
		if mid == yes || mid == no || math.Abs(no-yes) < 1e-15*math.Abs(mid) {
			break
		}
		if proven(mid) {
			yes = mid
		} else {
			no = mid
		}
	}
	return yes
}
