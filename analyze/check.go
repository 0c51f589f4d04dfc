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
	guard           group = iota // no part in it: proves something about the surroundings, at beta on its own
	relativeErrors               // .30
	relativeLatency              // .30
	split                        // .15
	stageErrors                  // .15
	canaryErrors                 // .05
	canaryLatency                // .05
)

var groupWeight = [...]float64{relativeErrors: .30, relativeLatency: .30, split: .15, stageErrors: .15, canaryErrors: .05, canaryLatency: .05}

// check is one anytime-valid test of the release. It keeps nothing of the evidence but what it cannot do without.
type check interface {
	name() string
	group() group
	passes() bool                                    // whether it has a PASS side, which PROMOTE then needs
	look(e *evidence) (pass, fail float64)           // log E against "violated", and against "within bounds"
	explain(e *evidence, o Outcome, r reading) Check // numbers and sentence; evidence and needed are filled in by the caller
}

// reading is one check at one look.
type reading struct {
	check      check
	pass, fail float64 // log E
	weight     float64 // in the FAIL rule; 0 of a guard
}

// weigh gives each reading its weight.
func weigh(readings []reading) {
	var members [len(groupWeight)]int
	for _, r := range readings {
		members[r.check.group()]++
	}
	total := 0.0
	for g, n := range members {
		if n > 0 {
			total += groupWeight[g]
		}
	}
	for i, r := range readings {
		if g := r.check.group(); g != guard {
			readings[i].weight = groupWeight[g] / float64(members[g]) / total
		}
	}
}

// failing is the log of the weighted mean, and the reading that carries most of it. Without latency, the latency
// checks stand at 0 to 1: they keep their weight and carry nothing.
func failing(readings []reading, latency bool) (logE float64, culprit reading) {
	var logs, weights []float64
	most := math.Inf(-1)
	for _, r := range readings {
		if r.weight == 0 {
			continue
		}
		if g := r.check.group(); !latency && (g == relativeLatency || g == canaryLatency) {
			r.fail = math.Inf(-1)
		}
		logs, weights = append(logs, r.fail), append(weights, r.weight)
		if part := math.Log(r.weight) + r.fail; part > most {
			most, culprit = part, r
		}
	}
	if len(logs) == 0 {
		return 0, culprit
	}
	return sequential.LogWeightedMean(logs, weights), culprit
}

// times turns log E into "X to 1", within what JSON can hold.
func times(logE float64) float64 { return math.Exp(min(max(logE, -600), 600)) }

func ptr(x float64) *float64 { return &x }
