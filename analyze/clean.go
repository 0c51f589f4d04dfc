package analyze

import (
	"math"
	"strings"
	"time"

	"coalmine/analyze/sequential"
	"coalmine/attack"
)

// strayShare is the share of wrong answers that a clean phase rules out.
const strayShare = 0.01

// baselineHits are wanted of the tested stage before the canary: what is learned there (latency bound, tail, error
// rate) needs a p99 that twenty answers lie beyond.
const baselineHits = 2000

// clean judges a phase in which one version alone must answer: before the canary, and after the action
// (statistics.md 2.7).
type clean struct {
	policy  Policy
	expect  string
	absent  string        // the version that may still answer for a while; "" for none
	any     bool          // any other version may: a canary that is taken away may have been a mixture itself
	until   time.Duration // stragglers before that start the count again, later ones fail
	healthy bool          // errors and latency of the expected version are judged, too
	targets []LoadTarget  // of several, of which each may fail by its own errors
	fewest  uint64        // hits wanted in any case
	whole   bool          // a pass is not the end: what comes after it may still fail

	totals
	run     int // of answers without a straggler, 1 for the first
	strays  uint64
	test    sequential.CleanRun
	errors  sequential.Bound
	current struct{ k, n uint64 } // of this run: k without a version, n in all
	since   int64                 // the window this run begins with
	outcome Outcome
	proof   bool // of a failure: an answer that may not be, and no bound
	why     string
	breaker breaker
	tripped string // why the breaker stopped the load
}

func newClean(p Policy, l sequential.Levels, expect, absent string, until time.Duration) (*clean, error) {
	bound, err := sequential.NewBound(float64(p.Errors.Max), l)
	if err != nil {
		return nil, err
	}
	c := &clean{policy: p, expect: expect, absent: absent, until: until, errors: bound, breaker: breaker{policy: p.Breaker},
		totals: totals{standstills: newStandstills(p.Validity)}} // until > 0: it may begin anew
	return c, c.restart(0)
}

// restart begins the next run with that window. Run j may err with alpha/(j(j+1)), so all together with alpha.
func (c *clean) restart(since int64) (err error) {
	c.run++
	c.since = since
	c.outcome = Undecided
	c.current = struct{ k, n uint64 }{}
	alpha := c.policy.Alpha
	if c.until > 0 {
		alpha = sequential.RunAlpha(alpha, c.run)
	}
	c.test, err = sequential.NewCleanRun(strayShare, alpha)
	return err
}

func (c *clean) needed() float64 {
	if c.until > 0 {
		return -math.Log(sequential.RunAlpha(c.policy.Alpha, c.run))
	}
	return -math.Log(c.policy.Alpha)
}

// add counts by due time, as everything does: a late answer belongs to the window it was due in, and says nothing
// about a run that began after it.
func (c *clean) add(w *attack.Window) {
	c.totals.add(w)
	for _, l := range w.Late {
		c.totals.late(l)
	}
	if c.outcome == Fail || c.outcome == Pass && !c.whole {
		return
	}
	for _, l := range w.Late {
		if l.Index >= c.since { // counted as pending then, one by one without a version
			n := answered(l.Answers)
			c.current.k -= min(n, c.current.k)
			c.current.n -= min(n, c.current.n)
		}
		if !c.count(l.Answers, l.Index, w.Index) {
			return
		}
	}
	if w.Index >= c.since {
		c.current.k += w.Pending
		c.current.n += w.Pending
	}
	if c.count(w.Answers, w.Index, w.Index) {
		c.decide()
	}
	if c.outcome == Undecided && !c.whole && w.End() > c.until { // until then a version that is on its way out may still fail
		if c.tripped = c.breaker.add(w); c.tripped != "" {
			c.outcome, c.why = Fail, "the circuit breaker stopped the load: "+c.tripped+"."
		}
	}
}

// count takes answers due in one window and known in another, now, and reports whether the phase goes on. A straggler
// ends the run it is in, and the next begins after all that is known.
func (c *clean) count(a attack.Answers, due, now int64) bool {
	names, n := foreignVersions(a.Arms, c.expect)
	others, foreign := foreignVersions(a.Arms, c.expect, c.absent)
	if foreign > 0 && !c.any {
		c.outcome, c.proof = Fail, true
		c.why = sentence("%s came from version %s; only version %s may answer here.", plural(foreign, "answer", "answers"), strings.Join(others, ", "), c.expect)
		return false
	}
	c.strays += n
	end := time.Duration(due+1) * attack.WindowLength
	switch {
	case n > 0 && end > c.until:
		c.outcome, c.proof = Fail, true
		c.why = sentence("version %s still answers %s after the change; only version %s may.", strings.Join(names, ", "), Short(end-c.from), c.expect)
		return false
	case due < c.since:
		return true
	case n > 0, c.absent != "" && end <= c.until && 20*unattributed(a) > answered(a):
		// Many answers without a version, so soon after a change, are stragglers that cannot say so.
		return c.restart(now+1) == nil
	}
	c.current.k += unattributed(a)
	c.current.n += answered(a)
	return true
}

// rest decides, if it can, by the last window, too: none comes after it.
func (c *clean) rest() {
	if c.totals.rest() != nil && c.outcome == Undecided {
		c.decide()
	}
}

func (c *clean) decide() {
	e := c.evidence(c.expect, "")
	toFail := -math.Log(c.policy.Beta)
	all := e.baseline.errors + e.errors
	if why := c.failing(&e, toFail); why != "" {
		c.outcome, c.why = Fail, why
		return
	}
	if c.few() || c.test.Log(c.current.k, c.current.n) < c.needed() {
		return
	}
	if c.healthy && c.errors.Pass(all+e.pending, e.all()) < -math.Log(c.policy.Alpha) {
		return
	}
	if c.healthy && c.generatorBehind(c.policy.Validity) != "" {
		return // what was sent late says nothing of the target's speed, and is nothing to learn from
	}
	if slow, q := c.slow(&e); slow != Pass {
		if slow == Fail {
			c.outcome = Fail
			c.why = sentence("%s of version %s is %s, allowed %s.", q, c.expect, Short(e.baseline.response.Quantile(float64(q))), c.policy.Latency.Max[q])
		}
		return
	}
	c.outcome = Pass
	c.why = sentence("%s answers, all of version %s: more than %s of another version is ruled out.", Count(c.current.n), c.expect, Share(strayShare))
	if c.current.k > 0 {
		c.why = sentence("%s answers of version %s, %s without a version: more than %s of another is ruled out.",
			Count(c.current.n-c.current.k), c.expect, Count(c.current.k), Share(strayShare))
	}
	if c.strays > 0 {
		c.why += sentence(" %s of another version before that.", plural(c.strays, "answer", "answers"))
	}
}

// few reports that there are less hits than wanted, or less whose response times count.
func (c *clean) few() bool { return c.current.n < c.fewest || c.standstills.kept < c.fewest }

// undecided says what is missing.
func (c *clean) undecided() string {
	e := c.evidence(c.expect, "")
	got, failed := hits(c.Answers, c.expect), e.baseline.errors+e.errors
	if found := c.generator(c.policy.Validity); c.healthy && len(found) > 0 {
		return found[0].sentence
	}
	switch slow, q := c.slow(&e); {
	case c.current.n >= max(c.fewest, fewestValid) && c.test.Log(c.current.k, c.current.n) < c.needed() && c.current.k > 0:
		return sentence("%s of %s have no answer that names a version: that no other answers is not proven",
			Count(c.current.k), plural(c.current.n, "request", "requests"))
	case c.few() || c.test.Log(c.current.k, c.current.n) < c.needed():
		if c.strays > 0 {
			return sentence("%s of version %s since another answered are too few to go on", plural(c.current.n-min(c.current.k, c.current.n), "answer", "answers"), c.expect)
		}
	case c.healthy && c.errors.Pass(failed+e.pending, e.all()) < -math.Log(c.policy.Alpha):
		return sentence("%s and %s without an answer of %s: that no more than %s are errors is not proven",
			plural(failed, "error", "errors"), plural(e.pending, "request", "requests"), Count(e.all()), Share(float64(c.policy.Errors.Max)))
	case slow != Pass:
		return sentence("that %s of version %s is at most %s is not proven by %s", q, c.expect, c.policy.Latency.Max[q], plural(got, "answer", "answers"))
	}
	return sentence("%s of version %s are too few to go on", plural(got, "answer", "answers"), c.expect)
}

// slow holds the expected version to the absolute latency bounds.
func (c *clean) slow(e *evidence) (Outcome, Quantile) {
	if !c.healthy {
		return Pass, 0
	}
	for _, q := range c.policy.sortedMax() {
		bound, err := sequential.NewBound(1-float64(q), sequential.Levels{Alpha: c.policy.Alpha, Beta: c.policy.Beta, Budget: 100_000})
		if err != nil {
			return Undecided, q
		}
		pass, fail := armLatency{test: bound, quantile: q, limit: time.Duration(c.policy.Latency.Max[q])}.look(e)
		switch {
		case fail >= -math.Log(c.policy.Beta):
			return Fail, q
		case pass < -math.Log(c.policy.Alpha):
			return Undecided, q
		}
	}
	return Pass, 0
}
