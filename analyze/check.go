package analyze

import (
	"math"

	"coalmine/analyze/sequential"
)

// group is a check's part in the FAIL rule: failing evidence is a weighted mean over groups, equally over the checks
// of one, so that with any dependence between them a release within all bounds is rejected with probability beta at
// most. A group that the policy leaves out leaves its weight to the others.
type group int8

const (
	guard              group = iota // no part in it: proves, at beta on its own, that the baseline is out of bounds
	interference                    // no part either: proves that the baseline is worse than before the canary
	relativeErrors                  // .30
	relativeLatency                 // .30
	split                           // .15
	stageErrors                     // .15, of which a third goes to stageAgainstBefore where that runs
	stageAgainstBefore              //
	canaryErrors                    // .05
	canaryLatency                   // .05
	groups
)

var groupWeight = [groups]float64{relativeErrors: .30, relativeLatency: .30, split: .15, stageErrors: .15, canaryErrors: .05, canaryLatency: .05}

// weights are those of the groups that have members; guards have none.
func weights(members [groups]int) (w [groups]float64) {
	w = groupWeight
	if members[stageAgainstBefore] > 0 {
		w[stageErrors], w[stageAgainstBefore] = w[stageErrors]*2/3, w[stageErrors]/3
	}
	total := 0.0
	for g, n := range members {
		if n == 0 {
			w[g] = 0
		}
		total += w[g]
	}
	for g := range w {
		w[g] /= max(total, 1e-9)
	}
	return w
}

// check is one anytime-valid test of the release. It keeps nothing of the evidence but what it cannot do without.
type check interface {
	name() string
	group() group
	passes() bool                                    // whether it has a PASS side, which PROMOTE then needs
	look(e *evidence) (pass, fail float64)           // log E against "violated", and against "within bounds"
	explain(e *evidence, o Outcome, r reading) Check // numbers and sentence; evidence and needed are filled in by the caller
}

// searching is a check whose look is a search: atMost is no less than either of its results, for much less.
type searching interface {
	atMost(e *evidence) (pass, fail float64)
}

// reading is one check at one look.
type reading struct {
	check      check
	pass, fail float64 // log E
	weight     float64 // in the FAIL rule; 0 of a guard
}

// weigh gives each reading its weight in a whole set of checks, of which each group has so many members, those that are
// asked again of each target counted once.
func weigh(readings []reading, members [groups]int, targets int) {
	w := weights(members)
	for i, r := range readings {
		g := r.check.group()
		weight := w[g] / float64(max(members[g], 1))
		if targets > 0 && inTargets[g] {
			if _, one := r.check.(inTarget); one {
				weight *= targetsPart / float64(targets)
			} else {
				weight *= 1 - targetsPart
			}
		}
		readings[i].weight = weight
	}
}

// explain is the check with its numbers, outcome as given.
func (r reading) explain(e *evidence, o Outcome, p Policy) Check {
	c := r.check.explain(e, o, r)
	c.Name, c.Outcome, c.Guard = r.check.name(), o, r.check.group() <= interference
	c.Watches = !r.check.passes()
	c.Evidence, c.Needed = sixDigits(times(r.pass)), 1/p.Alpha
	if o == Fail || !r.check.passes() {
		c.Evidence, c.Needed = sixDigits(times(r.fail)), 1/p.Beta
		if r.weight > 0 {
			c.Needed /= r.weight
		}
	}
	return c
}

// outcome is what the check says on its own, or as the culprit of a reject.
func (r reading) outcome(p Policy, c Conclusion) Outcome {
	toFail := -math.Log(p.Beta)
	if r.weight > 0 {
		toFail -= math.Log(r.weight)
	}
	switch {
	case r.fail >= toFail, c.Verdict == Reject && r.check.name() == c.Culprit:
		return Fail
	case r.check.passes() && r.pass >= -math.Log(p.Alpha), !r.check.passes() && c.Verdict == Promote:
		return Pass
	}
	return Undecided
}

// failing is the log of the weighted mean, and the reading that carries most of it. A check that has not begun stands at
// 1 to 1. Without latency, the latency checks stand at 0 to 1: they keep their weight and carry nothing.
func failing(readings []reading, latency bool) (logE float64, culprit reading) {
	var logs, weights []float64
	left, most := 1.0, math.Inf(-1)
	for _, r := range readings {
		if r.weight == 0 {
			continue
		}
		if g := r.check.group(); !latency && (g == relativeLatency || g == canaryLatency) {
			r.fail = math.Inf(-1)
		}
		logs, weights = append(logs, r.fail), append(weights, r.weight)
		left -= r.weight
		if part := math.Log(r.weight) + r.fail; part > most {
			most, culprit = part, r
		}
	}
	if left > 1e-9 {
		logs, weights = append(logs, 0), append(weights, left)
	}
	return sequential.LogWeightedMean(logs, weights), culprit
}

// times turns log E into "X to 1", within what JSON can hold.
func times(logE float64) float64 { return math.Exp(min(max(logE, -600), 600)) }

func ptr(x float64) *float64 { return &x }
