package analyze

import (
	"maps"
	"slices"
	"strings"
	"time"

	"coalmine/analyze/sequential"
	"coalmine/attack"
)

// armErrors asks whether one arm keeps the bound on errors (statistics.md 2.3). An error that names no version, and a
// hit that has no answer yet, are its own where it wants to pass, and nobody's where it would fail.
type armErrors struct {
	test    sequential.Bound
	needed  float64 // log 1/alpha
	limit   float64
	version string
	canary  bool
}

func (c armErrors) name() string { return "errors " + c.version }
func (c armErrors) passes() bool { return true }

func (c armErrors) group() group {
	if c.canary {
		return canaryErrors
	}
	return guard
}

func (c armErrors) look(e *evidence) (pass, fail float64) {
	a, anonymous := e.arm(c.canary), e.errors+e.pending
	c.test = c.test.Tempered(e.bursts)
	return c.test.Pass(a.errors+anonymous, a.hits+anonymous), c.test.Fail(a.errors, a.hits+e.successes+e.pending)
}

func (c armErrors) explain(e *evidence, o Outcome, _ reading) Check {
	a, anonymous := e.arm(c.canary), e.errors+e.pending
	c.test = c.test.Tempered(e.bursts)
	out := Check{Unit: UnitShare, K: a.errors, N: a.hits, Limit: Interval{High: &c.limit}}
	if a.hits+anonymous == 0 {
		out.Sentence = sentence("No answer of version %s was judged.", c.version)
		return out
	}
	out.Estimate = ptr(float64(a.errors) / float64(max(a.hits, 1)))
	high := c.test.Upper(a.errors+anonymous, a.hits+anonymous)
	out.Proven.High = &high
	who := "Canary"
	if !c.canary {
		who = "Baseline"
	}
	if a.hits == 0 {
		out.Sentence = sentence("%s: no answer named version %s.", who, c.version)
		return out
	}
	seen := sentence("%s errors %s of %s (%s)", who, Count(a.errors), Count(a.hits), Share(*out.Estimate))
	switch o {
	case Fail:
		low := c.test.Lower(a.errors, a.hits+e.successes+e.pending)
		out.Proven.Low = &low
		out.Sentence = sentence("%s: at least %s, allowed %s.", seen, Share(low), Share(c.limit))
		if low < c.limit { // it carries most of the evidence, and would not do alone
			out.Sentence = sentence("%s, allowed %s.", seen, Share(c.limit))
		}
	default:
		out.Sentence = sentence("%s; at most %s, allowed %s.", seen, Share(high), Share(c.limit))
	}
	if o != Fail && anonymous > 0 {
		out.Sentence += sentence(" %s counted against it.", nameless(e))
		if o == Undecided && c.test.Pass(a.errors, a.hits) >= c.needed {
			out.Sentence += " Without them it would have passed."
		}
	}
	return out
}

// nameless are the errors without a version and the hits without an answer, in words.
func nameless(e *evidence) string {
	var parts []string
	if e.errors > 0 {
		parts = append(parts, plural(e.errors, "error without a version", "errors without a version"))
	}
	if e.pending > 0 {
		parts = append(parts, plural(e.pending, "request without an answer", "requests without an answer"))
	}
	return strings.Join(parts, " and ")
}

// earlyErrors is the FAIL side of armErrors for the canary from its creation on: how often its own answers are errors
// does not depend on how far the change has come. A canary that answers nothing but 4xx would otherwise trip the
// breaker before anything is judged.
type earlyErrors struct {
	armErrors
	all *totals
	of  Target
}

func (c earlyErrors) name() string { return "errors " + c.version + " early" }
func (c earlyErrors) passes() bool { return false }

func (c earlyErrors) look(*evidence) (pass, fail float64) {
	e := c.all.evidence(c.of.Baseline, c.of.Canary)
	_, fail = c.armErrors.look(&e)
	return 0, fail
}

func (c earlyErrors) explain(_ *evidence, o Outcome, r reading) Check {
	e := c.all.evidence(c.of.Baseline, c.of.Canary)
	out := c.armErrors.explain(&e, o, r)
	out.Proven.High = nil
	out.Sentence = sentence("Since its creation: canary errors %s of %s, allowed %s.", Count(e.canary.errors), Count(e.canary.hits), Share(c.limit))
	return out
}

// errorDifference asks whether the canary fails more often than the baseline (statistics.md 2.4): a difference of
// shares, so that a baseline without errors is no obstacle.
type errorDifference struct {
	test   sequential.Difference
	margin float64 // share
}

func (c errorDifference) name() string { return "errors diff" }
func (c errorDifference) group() group { return relativeErrors }
func (c errorDifference) passes() bool { return true }

func (c errorDifference) look(e *evidence) (pass, fail float64) {
	b, a, anonymous := e.baseline, e.canary, e.errors+e.pending
	c.test = c.test.Tempered(e.bursts)
	return c.test.Pass(b.errors, b.hits+e.successes, a.errors+anonymous, a.hits+anonymous),
		c.test.Fail(b.errors+anonymous, b.hits+anonymous, a.errors, a.hits+e.successes)
}

func (c errorDifference) explain(e *evidence, o Outcome, _ reading) Check {
	b, a, anonymous := e.baseline, e.canary, e.errors+e.pending
	c.test = c.test.Tempered(e.bursts)
	out := Check{Unit: UnitPoints, K: a.errors, N: a.hits + b.hits, Limit: Interval{High: ptr(c.margin * 100)}}
	if a.hits == 0 || b.hits == 0 {
		out.Sentence = "Errors of the two versions cannot be compared: one of them gave no answer."
		return out
	}
	out.Estimate = ptr(100 * (float64(a.errors)/float64(a.hits) - float64(b.errors)/float64(b.hits)))
	high := 100 * c.test.Upper(b.errors, b.hits+e.successes, a.errors+anonymous, a.hits+anonymous)
	out.Proven.High = &high
	seen := sentence("Canary errors %s of %s, baseline %s of %s", Count(a.errors), Count(a.hits), Count(b.errors), Count(b.hits))
	if o == Fail {
		out.Sentence = sentence("%s: the canary is worse by %s, allowed %s.", seen, points(*out.Estimate), points(c.margin*100))
	} else {
		out.Sentence = sentence("%s; the canary is at most %s worse, allowed %s.", seen, points(high), points(c.margin*100))
	}
	return out
}

// wholeStage asks whether everybody's errors together keep the bound (statistics.md 2.3a). The commonest failures of a
// Lambda canary, a crash, a timeout, a missing permission, reach the client as anonymous 5xx; charged to either arm
// they can never fail anything. It is judged from the first change on, over a mixture of starts: a dead canary never
// gives the first answer that arms the other checks.
type wholeStage struct {
	test    *sequential.StageErrors
	limit   float64
	horizon int   // windows that may still be amended
	newest  int64 // window
	k, n    uint64
	by      map[string]uint64 // of k, those that name a version
}

// stageHorizon is how many windows may still be amended: nothing comes later than a client timeout after it was sent, and
// a second more for what waited for a connection.
func stageHorizon(timeout time.Duration) int {
	return int((timeout+time.Second)/attack.WindowLength) + 1
}

// serverErrors are what the stage owes, whoever failed: not what is the client's fault, or its credentials' or rate's.
func serverErrors(t *attack.Tally) (k uint64) {
	for _, class := range []attack.Class{attack.ServerError, attack.GatewayTime, attack.Timeout, attack.Transport, attack.Truncated} {
		k += t.Errors[class]
	}
	return k
}

// blame counts server errors, and by whom.
func (c *wholeStage) blame(a attack.Answers) (k uint64) {
	for version, t := range a.Arms {
		c.by[version] += serverErrors(t)
		k += serverErrors(t)
	}
	for _, t := range a.Unattributed {
		k += serverErrors(t)
	}
	c.k += k
	return k
}

func (c *wholeStage) add(w *attack.Window) {
	if c.n > 0 { // amendments count windows back, so a gap is filled; more than the horizon would change nothing
		for range min(w.Index-c.newest-1, int64(c.horizon)) {
			c.test.Append(0, 0)
		}
	}
	c.test.Append(min(c.blame(w.Answers), w.Hits), w.Hits+w.Pending)
	c.newest = w.Index
	c.n += w.Hits + w.Pending
}

func (c *wholeStage) late(l attack.Late) {
	if k := c.blame(l.Answers); k > 0 {
		c.test.Amend(int(max(c.newest-l.Index, 0)), k)
	}
}

func (c *wholeStage) name() string { return "stage errors" }
func (c *wholeStage) group() group { return stageErrors }
func (c *wholeStage) passes() bool { return false }

func (c *wholeStage) look(*evidence) (pass, fail float64) { return 0, c.test.Log() }

func (c *wholeStage) explain(_ *evidence, o Outcome, _ reading) Check {
	out := Check{Unit: UnitShare, K: c.k, N: c.n, Limit: Interval{High: &c.limit}}
	if c.n == 0 {
		out.Sentence = "No answer since the canary was created."
		return out
	}
	out.Estimate = ptr(float64(c.k) / float64(c.n))
	whose := []string{}
	anonymous := c.k
	for _, version := range slices.Sorted(maps.Keys(c.by)) {
		if k := c.by[version]; k > 0 {
			whose = append(whose, sentence("%s from version %s", Count(k), version))
			anonymous -= k
		}
	}
	if anonymous > 0 {
		whose = append(whose, sentence("%s without a version", Count(anonymous)))
	}
	out.Sentence = sentence("Server errors of all answers since the canary was created: %s of %s (%s)", Count(c.k), Count(c.n), Share(*out.Estimate))
	if len(whose) > 0 {
		out.Sentence += ", " + strings.Join(whose, ", ")
	}
	if o == Fail {
		out.Sentence += sentence("; if each version kept to %s, both together would", Share(c.limit))
	}
	out.Sentence += "."
	return out
}
