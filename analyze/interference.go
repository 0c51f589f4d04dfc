package analyze

import (
	"coalmine/analyze/sequential"
	"coalmine/attack"
)

// The arms share locks, pools and concurrency: a canary can slow or break both, and pass every comparison with the
// baseline. So the baseline during the canary is compared with itself before (statistics.md 2.3c). These checks have
// no PASS side and guard: what they prove makes the verdict inconclusive, for nobody can say whose doing it is.

// rise is the FAIL side of "the rate after is at most margin above the rate before". The before phase has a fixed size and
// the other grows, so the mean is taken of tests aimed at several ratios of the two: with one aimed at equal sizes, as
// statistics.md has it, 8 % crashes at a share of 10 % went unnoticed in two of three runs, for its evidence dies away
// as soon as the sizes differ.
type rise []sequential.Difference

func newRise(margin float64, l sequential.Levels) (rise, error) {
	return aimed(margin, l, 0.5, 0.8, 0.95)
}

// aimed has a test for each of these shares that the time after may have of all hits.
func aimed(margin float64, l sequential.Levels, after ...float64) (rise, error) {
	var tests rise
	for _, after := range after {
		test, err := sequential.NewDifference(after, margin, nil, l) // the before phase is data here, and aims nothing
		if err != nil {
			return nil, err
		}
		tests = append(tests, test)
	}
	return tests, nil
}

func (r rise) fail(k0, n0, k1, n1 uint64) float64 {
	logs, weights := make([]float64, 0, len(r)), make([]float64, 0, len(r))
	for _, test := range r {
		logs, weights = append(logs, test.Fail(k0, n0, k1, n1)), append(weights, 1)
	}
	return sequential.LogWeightedMean(logs, weights)
}

func (r rise) tempered(phi float64) rise {
	out := make(rise, len(r))
	for i, test := range r {
		out[i] = test.Tempered(phi)
	}
	return out
}

// interferingErrors compares the baseline's errors.
type interferingErrors struct {
	test   rise
	margin float64 // share
	before evidence
}

func newInterferingErrors(margin float64, before evidence, l sequential.Levels) (interferingErrors, error) {
	test, err := newRise(margin, l)
	return interferingErrors{test, margin, before}, err
}

func (c interferingErrors) name() string { return "errors before" }
func (c interferingErrors) group() group { return interference }
func (c interferingErrors) passes() bool { return false }

func (c interferingErrors) look(e *evidence) (pass, fail float64) {
	was, is := c.before.baseline, e.baseline
	failed := c.before.errors + c.before.pending // without a version: the baseline's own, then
	return 0, c.test.fail(was.errors+failed, was.hits+failed, is.errors, is.hits+e.successes+e.pending)
}

func (c interferingErrors) explain(e *evidence, o Outcome, _ reading) Check {
	was, is := c.before.baseline, e.baseline
	out := Check{Unit: UnitPoints, K: is.errors, N: is.hits, Limit: Interval{High: ptr(c.margin * 100)}}
	if is.hits == 0 || was.hits == 0 {
		out.Sentence = "The baseline cannot be compared with itself before the canary: it gave no answer in one of the two."
		return out
	}
	out.Estimate = ptr(100 * (float64(is.errors)/float64(is.hits) - float64(was.errors)/float64(was.hits)))
	out.Sentence = sentence("Baseline errors %s of %s during the canary, %s of %s before it; allowed %s more.",
		Count(is.errors), Count(is.hits), Count(was.errors), Count(was.hits), points(c.margin*100))
	return out
}

// interferingLatency compares one of the baseline's quantiles.
type interferingLatency struct {
	*latencyDifference
	before evidence
}

func newInterferingLatency(q Quantile, margin Slack, before evidence, l sequential.Levels) (interferingLatency, error) {
	c, err := newLatencyDifference(q, margin, nil, l)
	return interferingLatency{c, before}, err
}

func (c interferingLatency) name() string { return c.quantile.String() + " before" }
func (c interferingLatency) group() group { return interference }
func (c interferingLatency) passes() bool { return false }

// asArms is the evidence with before as the baseline and during as the canary.
func (c interferingLatency) asArms(e *evidence) evidence {
	anonymous := append(attack.Histogram(nil), e.response...)
	anonymous.Merge(c.before.response)
	return evidence{baseline: c.before.baseline, canary: e.baseline, response: anonymous,
		timeouts: c.before.timeouts, pending: c.before.waiting()} // those of now speak for a rise, if at all
}

func (c interferingLatency) look(e *evidence) (pass, fail float64) {
	arms := c.asArms(e)
	slow := c.tails(&arms)
	fail, _ = c.test.Fail(c.base, c.can, c.any, slow)
	return 0, fail
}

func (c interferingLatency) atMost(e *evidence) (pass, fail float64) {
	arms := c.asArms(e)
	slow := c.tails(&arms)
	_, fail = c.test.AtMost(c.base, c.can, c.any, slow)
	return 0, fail
}

func (c interferingLatency) explain(e *evidence, o Outcome, _ reading) Check {
	was, is := c.before.baseline, e.baseline
	out := Check{Unit: UnitRatio, K: is.timed, N: is.timed + was.timed}
	if is.timed == 0 || was.timed == 0 {
		out.Sentence = sentence("%s of the baseline cannot be compared with itself before the canary: it gave no good answer in one of the two.", c.quantile)
		return out
	}
	before, during := was.response.Quantile(float64(c.quantile)), is.response.Quantile(float64(c.quantile))
	allowed := max(c.margin.Ratio, float64(c.margin.Add)/float64(before))
	out.Estimate = ptr(float64(during)/float64(before) - 1)
	out.Limit.High = &allowed
	out.Sentence = sentence("Baseline %s is %s during the canary, %s before it (%s, allowed %s).", c.quantile, Short(during), Short(before), increase(*out.Estimate), increase(allowed))
	return out
}

// stageRise asks whether everybody's server errors rose against the before phase (statistics.md 2.3a): at a small share
// the bound on all answers hides a bad canary. It assumes a steady background, so it rejects only where the errors
// before the canary were within the margin themselves; otherwise nobody can tell a change from the weather.
type stageRise struct {
	test   rise
	margin float64 // share: the canary's share x the margin of errors
	k, n   uint64  // server errors before, hits without an answer included, of so many
	stage  *wholeStage
}

func newStageRise(share, margin float64, before *totals, stage *wholeStage, l sequential.Levels) (stageRise, error) {
	c := stageRise{margin: share * margin, k: before.pending, n: before.hits + before.pending, stage: stage}
	for t := range tallies(before.Answers) {
		c.k += serverErrors(t)
	}
	var err error
	c.test, err = newRise(c.margin, l)
	return c, err
}

// clean reports that the errors before the canary speak for a change after it.
func (c stageRise) clean() bool { return float64(c.k) <= c.margin*float64(c.n) }

func (c stageRise) name() string { return "stage errors rise" }
func (c stageRise) group() group { return stageAgainstBefore }
func (c stageRise) passes() bool { return false }

func (c stageRise) look(*evidence) (pass, fail float64) {
	return 0, c.test.fail(c.k, c.n, c.stage.k, c.stage.n)
}

func (c stageRise) explain(_ *evidence, o Outcome, _ reading) Check {
	out := Check{Unit: UnitPoints, K: c.stage.k, N: c.stage.n, Limit: Interval{High: ptr(c.margin * 100)}}
	if c.n == 0 || c.stage.n == 0 {
		out.Sentence = "Server errors cannot be compared with those before the canary: one of the two phases has no answer."
		return out
	}
	out.Estimate = ptr(100 * (float64(c.stage.k)/float64(c.stage.n) - float64(c.k)/float64(c.n)))
	out.Sentence = sentence("Server errors of everybody: %s of %s since the canary was created, %s of %s before it; allowed %s more.",
		Count(c.stage.k), Count(c.stage.n), Count(c.k), Count(c.n), points(c.margin*100))
	return out
}
