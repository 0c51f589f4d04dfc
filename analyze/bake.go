package analyze

import (
	"fmt"
	"math"
	"slices"
	"time"

	"coalmine/analyze/sequential"
	"coalmine/attack"
)

// A bake is the last look before a promote: the canary at 100 %, for a time fixed beforehand. Full load is what it has
// not carried yet, its cold starts and its concurrency, and one patch takes it back.
//
// Its levels. To promote needs the during phase to pass and then the bake, each at alpha: a release that breaks a bound
// at its share is promoted with probability alpha at most whatever the bake says, and one that breaks a bound at full
// load only if the bake errs, with probability alpha at most. Neither takes of the other's (intersection-union, as for
// the checks of one phase). To reject, either is enough, so the two share beta: the bake's part is bakeShare, and the
// during phase of a run that will bake has the rest. A release within all bounds in both is rejected with probability
// beta at most. The bake can have the small part: it sees more of the canary than the during phase, and a fifth costs
// it log 5 of evidence, at 1,000 hits per second a few hundredths of a second of a canary that fails one time in ten.
//
// What is compared with the baseline as it was has a FAIL side only. The baseline's sample ended with the during phase, at
// the first moment at which it was enough; asked to pass again on it, 28 % of healthy releases stayed undecided, however
// long they baked (p95, 1,000 hits per second, 16 to 60 s). The absolute bounds have to pass.
//
// The end is fixed, and PROMOTE looks once, at the end; REJECT looks at every window. Nothing is left out at the
// start: what a version does when all of the load comes over it at once is what is asked here.
const bakeShare = 0.2

// ValidateBake refuses a bake that could not pass whatever the canary is like: one that ends while the baseline may still
// answer, or sends fewer hits than it takes, all of them good, to prove what a bake has to prove.
func (p Policy) ValidateBake(length time.Duration, rate float64) error {
	if length == 0 {
		return nil
	}
	if length <= time.Duration(p.Settle) {
		return fmt.Errorf("bake: want more than settle, %s, until which the baseline may still answer, got %s", p.Settle, length)
	}
	if least := p.fewestBaked(); rate > 0 && rate*length.Seconds() < float64(least) {
		return fmt.Errorf("bake: want %s or more, in which %s/s are the %s requests that it takes to prove anything at alpha %v, got %s",
			time.Duration(math.Ceil(float64(least)/rate))*time.Second, trimZeros(rate), Count(least), p.Alpha, length)
	}
	return nil
}

// fewestBaked are the hits, all of them good, after which every bound of a bake on its own is proven.
func (p Policy) fewestBaked() uint64 {
	least := sequential.CleanRunLength(strayShare, sequential.RunAlpha(p.Alpha, 1))
	shares := []float64{float64(p.Errors.Max)}
	for _, q := range p.sortedMax() {
		shares = append(shares, 1-float64(q))
	}
	for _, share := range shares {
		least = max(least, sequential.CleanRunLength(share, p.Alpha))
	}
	return least
}

// bake judges the canary while it alone answers.
type bake struct {
	incidents
	policy Policy
	target Target
	length time.Duration
	during *during // what the baseline was

	all     totals
	alone   *clean // whether the canary's version alone answers
	stage   *wholeStage
	targets []*targetPart // of a load on several
	checks  []check
	seconds seconds
	past    checkpoints
	breaker breaker

	conclusion Conclusion
	tripped    string
	done       bool
	last       []reading
}

func newBake(p Policy, l sequential.Levels, h Header, d *during) (*bake, error) {
	alone, err := newClean(p, l, h.Target.Canary, h.Target.Baseline, math.MaxInt64) // see full
	if err != nil {
		return nil, err
	}
	alone.whole = true
	horizon := stageHorizon(h.Plan.Timeout)
	stage, err := sequential.NewStageErrors(float64(p.Errors.Max), l, horizon)
	if err != nil {
		return nil, err
	}
	b := &bake{policy: p, target: h.Target, length: h.Plan.Bake, during: d, alone: alone, breaker: breaker{policy: p.Breaker},
		all:   totals{standstills: newStandstills(p.Validity)},
		stage: &wholeStage{test: stage, horizon: horizon, limit: float64(p.Errors.Max), by: map[string]uint64{}}}
	b.seconds.slowFrom = d.known.Quantile(0.95)
	was := d.judged.evidence(h.Target.Baseline, "")
	if err := b.against(was, l); err != nil {
		return nil, err
	}
	return b, b.targetsFrom(h.Plan.Targets, l)
}

// full notes when the canary was given all of the traffic. Until then the baseline answers rightly, however long a control
// plane that throttles takes: settle counts from there, and so do the runs of the canary's answers.
func (b *bake) full(at time.Duration) error {
	b.alone.until, b.alone.run = at+time.Duration(b.policy.Settle), 0
	return b.alone.restart(int64(at/attack.WindowLength) + 1)
}

// against makes the checks; was is the baseline's part of the during phase, which is data in those that compare: the
// time at which that phase ended is a stopping time, and the tests are valid for a baseline first and a canary then.
func (b *bake) against(was evidence, l sequential.Levels) error {
	p, canary := b.policy, b.target.Canary
	bound, err := sequential.NewBound(float64(p.Errors.Max), l)
	if err != nil {
		return err
	}
	b.checks = []check{bakedStage{b.stage},
		baked{armErrors{test: bound, needed: -math.Log(p.Alpha), limit: float64(p.Errors.Max), version: canary, canary: true}}}
	for _, q := range p.sortedMax() {
		bound, err := sequential.NewBound(1-float64(q), l)
		if err != nil {
			return err
		}
		b.checks = append(b.checks, baked{b.during.latency(bound, q, true)})
	}
	compared, err := b.compared(was, b.during.known, l)
	b.checks = append(b.checks, compared...)
	return err
}

// compared are the checks that compare with the baseline as it was; known are response times that none of them counts.
func (b *bake) compared(was evidence, known attack.Histogram, l sequential.Levels) ([]check, error) {
	margin := b.policy.Errors.Margin / 100
	difference, err := aimed(margin, l, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97) // a long before, a short bake, or the reverse
	if err != nil {
		return nil, err
	}
	checks := []check{bakedErrors{difference, margin, was}}
	for _, q := range b.policy.sortedMargin() {
		c, err := newLatencyDifference(q, b.policy.Latency.Margin[q], known, l)
		if err != nil {
			return nil, err
		}
		checks = append(checks, bakedLatency{c, was})
	}
	return checks, nil
}

func (b *bake) add(w *attack.Window) {
	if b.done {
		return
	}
	timed := b.all.add(w)
	b.stage.add(w)
	for _, part := range b.targets {
		part.add(w)
	}
	for _, l := range w.Late {
		for _, part := range b.targets {
			part.late(l)
		}
		if b.all.late(l) {
			b.seconds.times(l.Answers)
		}
		b.stage.late(l)
	}
	b.seconds.add(w, hits(w.Answers, b.target.Baseline), hits(w.Answers, b.target.Canary))
	if timed != nil {
		b.seconds.times(timed.Answers)
	}
	b.alone.add(w)
	e := b.evidence()
	b.past.add(b.all.hits, &e)
	b.tripped = b.breaker.add(w)
	if b.look(&e, w.End()) {
		b.tripped = "" // it was decided in time
	} else if b.tripped != "" {
		b.conclude(w.End(), Inconclusive, "the circuit breaker stopped the load: "+b.tripped)
	}
}

func (b *bake) evidence() evidence { return b.evidenceOf(&b.all) }

func (b *bake) evidenceOf(t *totals) evidence {
	e := t.evidence(b.target.Baseline, b.target.Canary)
	if b.policy.Unattributed == Independent {
		e.attribute()
	}
	if b.policy.Robust == Blocks {
		e.bursts, e.slowBursts = b.seconds.failed.factor(), b.seconds.slow.factor()
	}
	return e
}

// readings are all checks of that evidence; quick ones only bound what takes a search.
func (b *bake) readings(e *evidence, quick bool) []reading {
	var members [groups]int
	readings := make([]reading, len(b.checks))
	for i, c := range b.checks {
		if _, one := c.(inTarget); !one {
			members[c.group()]++
		}
		readings[i].check = c
		if search, ok := c.(searching); ok && quick {
			readings[i].pass, readings[i].fail = search.atMost(e)
		} else {
			readings[i].pass, readings[i].fail = c.look(e)
		}
	}
	weigh(readings, members, len(b.targets))
	return readings
}

// look rejects if it can, or gives up: a bake passes at its end alone.
func (b *bake) look(e *evidence, now time.Duration) (decided bool) {
	void, final := sentences(b.doubts())
	toFail := -math.Log(b.policy.Beta)
	b.last = nil
	if final {
		return b.conclude(now, Inconclusive, void...)
	}
	if b.alone.outcome == Fail {
		return b.reject(now, bakedVersion, capital(b.alone.why), "One such answer is proof.")
	}
	latency := len(void) == 0 // a generator that is late is no slow canary
	if logE, _ := failing(b.readings(e, true), latency); logE < toFail {
		return false
	}
	b.last = b.readings(e, false)
	logE, culprit := failing(b.last, latency)
	if logE < toFail {
		return false
	}
	return b.reject(now, culprit.check.name(), culprit.explain(e, Fail, b.policy).Sentence,
		sentence("If everything were within bounds, a result this bad would come up at most once in %s bakes.", Count(uint64(math.Round(1/b.policy.Beta)))))
}

func (b *bake) doubts() []doubt {
	found := b.incidents.doubts()
	if b.all.hits < fewestValid {
		return found
	}
	found = append(found, b.all.misunderstood(b.policy.Validity)...)
	// The canary's own, which name it, are its errors.
	if anonymous := b.all.refusals(); Percentage(float64(anonymous)/float64(b.all.hits)) > b.policy.Validity.Unrecognised {
		found = append(found, b.all.refusing())
	}
	return append(found, b.all.generator(b.policy.Validity)...)
}

func (b *bake) reject(now time.Duration, culprit, why, strength string) bool {
	b.conclude(now, Reject)
	b.conclusion.Culprit = culprit
	b.conclusion.Sentence = sentence("REJECT in the bake at 100 %%, after %s of %s. %s %s", Short(now-b.all.from), Short(b.length), why, strength)
	return true
}

func (b *bake) conclude(now time.Duration, v Verdict, void ...string) bool {
	b.done = true
	b.conclusion = Conclusion{Verdict: v, At: now, Void: void}
	if len(void) > 0 {
		b.conclusion.Sentence = "INCONCLUSIVE in the bake at 100 %: " + void[0] + "."
	}
	return true
}

// deadline is the bake's end: it passes if all that has to be proven is, over the whole time.
func (b *bake) deadline() {
	b.all.rest()
	e := b.evidence()
	if b.done || b.all.windows > 0 && b.look(&e, b.all.to) {
		return
	}
	b.last = b.readings(&e, false)
	void, _ := sentences(b.doubts())
	b.conclude(b.all.to, Inconclusive, void...)
	weakest := reading{pass: math.Inf(1)}
	for _, r := range b.last {
		if r.check.passes() && r.pass < weakest.pass {
			weakest = r
		}
	}
	c := &b.conclusion
	switch length := b.all.to - b.all.from; {
	case len(void) > 0:
	case length < b.length:
		c.Sentence = sentence("INCONCLUSIVE at the deadline: the bake at 100 %% ended after %s of %s.", Short(length), Short(b.length))
	case b.alone.outcome != Pass:
		c.Culprit = bakedVersion
		c.Sentence = sentence("INCONCLUSIVE in the bake at 100 %%: %s.", b.alone.undecided())
	case weakest.pass < -math.Log(b.policy.Alpha):
		c.Culprit = weakest.check.name()
		c.Sentence = sentence("INCONCLUSIVE at the end of the bake at 100 %%: %s still undecided. %s Treated as not passed.",
			weakest.check.name(), weakest.explain(&e, Undecided, b.policy).Sentence)
	case b.lastHalf(&e) != "":
		c.Culprit = b.lastHalf(&e)
		c.Sentence = sentence("INCONCLUSIVE in the bake at 100 %%: over the whole of it every check passed, but its last half alone would fail by %s.", c.Culprit)
	default:
		c.Verdict, c.Culprit = Promote, weakest.check.name()
		c.Sentence = sentence("Then version %s carried all of the load for %s, %s, and every check passed again.", b.target.Canary, Short(b.length), plural(b.all.hits, "request", "requests"))
	}
}

// lastHalf names what the last half of the bake would fail by on its own, "" if by nothing.
func (b *bake) lastHalf(e *evidence) string {
	was, found := b.past.half(b.all.hits)
	if !found {
		return ""
	}
	last := e.since(was)
	readings := slices.DeleteFunc(b.readings(&last, false), func(r reading) bool {
		_, one := r.check.(inTarget)
		return one || r.check.group() == stageErrors // it looks at every stretch
	})
	if logE, culprit := failing(readings, true); logE >= -math.Log(b.policy.Beta) {
		return culprit.check.name()
	}
	return ""
}

// report explains every check.
func (b *bake) report() (checks []Check) {
	e := b.evidence()
	if b.last == nil {
		b.last = b.readings(&e, false)
	}
	checks = append(checks, b.versionCheck())
	for _, r := range b.last {
		c := r.explain(&e, r.outcome(b.policy, b.conclusion), b.policy)
		checks = append(checks, c)
	}
	void, _ := sentences(b.doubts())
	if len(void) > 0 {
		checks = append(checks, Check{Name: "bake measurement", Unit: UnitCount, N: b.all.hits, K: uint64(len(void)), Guard: true, Outcome: Fail,
			Sentence: capital(void[0]) + "."})
	}
	for i := range checks {
		if checks[i].Name != bakedVersion {
			checks[i].Sentence = "At 100 %: " + checks[i].Sentence
		}
	}
	return checks
}

const bakedVersion = "bake version"

// versionCheck says whether the canary's version alone answered.
func (b *bake) versionCheck() Check {
	a, limit := b.alone, strayShare
	c := Check{Name: bakedVersion, Unit: UnitShare, Outcome: a.outcome, K: a.strays, N: a.current.n, Limit: Interval{High: &limit},
		Evidence: sixDigits(times(a.test.Log(a.current.k, a.current.n))), Needed: sixDigits(times(a.needed()))}
	if c.Sentence = capital(a.why); a.outcome == Undecided {
		c.Sentence = capital(a.undecided()) + "."
	}
	return c
}

// baked is the verdict of a run whose during phase passed and which was to bake then.
func (j *Judge) baked(passed Conclusion) Conclusion {
	percent := trimZeros(j.header.Target.Percent)
	switch b := j.bake; {
	case b == nil:
		return Conclusion{At: passed.At, Sentence: sentence("INCONCLUSIVE: every check passed at %s %%, but the bake at 100 %% did not take place.", percent)}
	case !b.done:
		return Conclusion{At: b.all.to, Sentence: sentence("INCONCLUSIVE: every check passed at %s %%, but the run ended before the bake at 100 %% did.", percent)}
	case b.conclusion.Verdict == Promote:
		c := b.conclusion
		c.Sentence = passed.Sentence + " " + c.Sentence
		return c
	default:
		return b.conclusion
	}
}

// share is the policy and its levels with a part of beta, in a run that bakes.
func (j *Judge) share(part float64) (Policy, sequential.Levels) {
	p, l := j.policy, j.levels
	if j.header.Plan.Bake > 0 {
		p.Beta, l.Beta = p.Beta*part, l.Beta*part
	}
	return p, l
}

// baked is a check of the canary alone under another name.
type baked struct{ check }

func (c baked) name() string { return "bake " + c.check.name() }

// bakedStage is wholeStage with the canary alone on the stage: what names no version is its doing.
type bakedStage struct{ *wholeStage }

func (c bakedStage) name() string { return "bake stage errors" }

func (c bakedStage) explain(_ *evidence, _ Outcome, _ reading) Check {
	out := Check{Unit: UnitShare, K: c.k, N: c.n, Limit: Interval{High: &c.limit}, Sentence: "No answer yet."}
	if c.n == 0 {
		return out
	}
	out.Estimate = ptr(float64(c.k) / float64(c.n))
	out.Sentence = sentence("Server errors %s of %s (%s), allowed %s.", Count(c.k), Count(c.n), Share(*out.Estimate), Share(c.limit))
	return out
}

// bakedErrors asks whether the canary at full load fails more often than the baseline did at its share. It assumes that
// nothing else changed in between, and cannot tell if it did: there is no baseline left to compare with.
type bakedErrors struct {
	test   rise
	margin float64 // share
	was    evidence
}

func (c bakedErrors) name() string { return "bake errors diff" }
func (c bakedErrors) group() group { return relativeErrors }
func (c bakedErrors) passes() bool { return false }

func (c bakedErrors) look(e *evidence) (pass, fail float64) {
	b, a := c.was.baseline, e.canary
	then := c.was.errors + c.was.pending // without a version
	return 0, c.test.tempered(e.bursts).fail(b.errors+then, b.hits+then, a.errors, a.hits+e.successes+e.pending)
}

func (c bakedErrors) explain(e *evidence, _ Outcome, _ reading) Check {
	b, a := c.was.baseline, e.canary
	out := Check{Unit: UnitPoints, K: a.errors, N: a.hits + b.hits, Limit: Interval{High: ptr(c.margin * 100)}}
	if a.hits == 0 || b.hits == 0 {
		out.Sentence = "The canary's errors cannot be compared with the baseline's before: one of them gave no answer."
		return out
	}
	out.Estimate = ptr(100 * (float64(a.errors)/float64(a.hits) - float64(b.errors)/float64(b.hits)))
	out.Sentence = sentence("Canary errors %s of %s, baseline before %s of %s (%s); allowed %s more.", Count(a.errors), Count(a.hits),
		Count(b.errors), Count(b.hits), points(*out.Estimate), points(c.margin*100))
	return out
}

// bakedLatency asks the same of one of its quantiles.
type bakedLatency struct {
	*latencyDifference
	was evidence
}

func (c bakedLatency) name() string { return "bake " + c.latencyDifference.name() }
func (c bakedLatency) passes() bool { return false }

// asArms has the baseline of then and the canary of now; what names no version may be either's, of both times.
func (c bakedLatency) asArms(e *evidence) evidence {
	anonymous := append(attack.Histogram(nil), e.response...)
	anonymous.Merge(c.was.response)
	return evidence{baseline: c.was.baseline, canary: e.canary, response: anonymous,
		timeouts: e.timeouts + c.was.timeouts, pending: e.waiting() + c.was.waiting(), slowBursts: e.slowBursts}
}

func (c bakedLatency) look(e *evidence) (pass, fail float64) {
	arms := c.asArms(e)
	slow := c.tails(&arms)
	c.test.Temper(arms.slowBursts)
	fail, _ = c.test.Fail(c.base, c.can, c.any, slow)
	return 0, fail
}

func (c bakedLatency) atMost(e *evidence) (pass, fail float64) {
	arms := c.asArms(e)
	_, fail = c.latencyDifference.atMost(&arms)
	return 0, fail
}

func (c bakedLatency) explain(e *evidence, o Outcome, r reading) Check {
	arms := c.asArms(e)
	out := c.latencyDifference.explain(&arms, o, r)
	if o != Fail && out.Estimate != nil {
		out.Proven, out.Sentence = Interval{}, sentence("%s: canary %s, baseline before %s (%s), allowed %s.", c.quantile, Short(arms.canary.response.Quantile(float64(c.quantile))),
			Short(arms.baseline.response.Quantile(float64(c.quantile))), increase(*out.Estimate), increase(*out.Limit.High))
	}
	return out
}
