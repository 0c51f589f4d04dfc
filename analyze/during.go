package analyze

import (
	"math"
	"slices"
	"strings"
	"time"

	"coalmine/analyze/sequential"
	"coalmine/attack"
)

// during judges the canary while it takes its share.
type during struct {
	policy    Policy
	target    Target
	levels    sequential.Levels
	before    *totals     // the same stage before the canary; nil where nobody looked
	suggested *suggestion // the policy's bound on p99 where it is from there
	begin     time.Duration
	changed   int64 // first window after the first change: what is judged regardless of arming begins here

	all     totals // from the first change on
	skipped totals // of those, before the start of judging
	judged  totals
	arming  *arming
	sticky  sequential.Sticky
	stage   *wholeStage
	targets []*targetPart // of a load on several
	split   *splitCheck   // nil until judging starts
	checks  []check
	breaker breaker
	tripped string      // why the breaker stopped the load
	seconds seconds     // of the judged part
	past    checkpoints // of the judged part
	unlike  string      // why its last half does not pass though the whole does

	incidents
	known      attack.Histogram // the baseline's response times that no check counts
	conclusion Conclusion
	done       bool
	last       []reading
}

func newDuring(p Policy, t Target, targets []LoadTarget, l sequential.Levels, before *totals, begin, timeout time.Duration) (*during, error) {
	share := t.Share()
	sticky, err := sequential.NewSticky(l)
	if err != nil {
		return nil, err
	}
	horizon := stageHorizon(timeout)
	stage, err := sequential.NewStageErrors(float64(p.Errors.Max), l, horizon)
	if err != nil {
		return nil, err
	}
	d := &during{policy: p, target: t, levels: l, before: before, begin: begin, sticky: sticky,
		all:    totals{bare: true},
		judged: totals{standstills: newStandstills(p.Validity)},
		arming: newArming(share, p.MarginShare(), p.WarmUp), breaker: breaker{policy: p.Breaker},
		stage: &wholeStage{test: stage, horizon: horizon, limit: float64(p.Errors.Max), by: map[string]uint64{}}}
	d.change(begin)
	d.arming.from(begin, time.Duration(p.Settle)) // a canary that is live already; a deployment moves it
	if err := d.beforeArming(); err != nil {
		return nil, err
	}
	return d, d.targetsFrom(targets)
}

// beforeArming makes the checks that are judged from the first change on: a canary that is dead gives no first answer
// that could arm the others. They have a FAIL side only.
func (d *during) beforeArming() error {
	p, share := d.policy, d.target.Share()
	bound, err := sequential.NewBound(float64(p.Errors.Max), d.levels)
	if err != nil {
		return err
	}
	d.checks = []check{d.stage, earlyErrors{armErrors{test: bound, limit: float64(p.Errors.Max), version: d.target.Canary, canary: true}, &d.all, d.target}}
	if d.before != nil {
		rise, err := newStageRise(share, p.Errors.Margin/100, d.before, d.stage, d.levels)
		if err != nil {
			return err
		}
		d.checks = append(d.checks, rise)
	}
	return nil
}

// change says that the first change is made now: from here on the canary may answer.
func (d *during) change(at time.Duration) {
	d.changed = int64(at / attack.WindowLength)
	d.arming.settle = -1 // wait for the deployment
}

func (d *during) deployed(at time.Duration) { d.arming.from(at, time.Duration(d.policy.Settle)) }

func (d *during) add(w *attack.Window) {
	if w.Index < d.changed || d.done {
		return
	}
	if d.count(w); d.done {
		return
	}
	if d.arming.judging(w.Index) {
		e := d.evidence()
		d.past.add(d.judged.hits, &e)
	}
	d.tripped = d.breaker.add(w)
	if d.look(w.End()) {
		d.tripped = "" // it was decided in time
	} else if d.tripped != "" {
		d.conclude(w.End(), Inconclusive, "the circuit breaker stopped the load: "+d.tripped)
	}
}

// count puts a window, and the late answers in it, where they belong.
func (d *during) count(w *attack.Window) {
	d.all.add(w)
	d.stage.add(w)
	for _, part := range d.targets {
		part.add(w)
	}
	canary, baseline := hits(w.Answers, d.target.Canary), hits(w.Answers, d.target.Baseline)
	if d.arming.judging(w.Index) {
		timed := d.judged.add(w)
		d.split.add(w, canary)
		d.seconds.add(w, baseline, canary)
		if timed != nil {
			d.seconds.times(timed.Answers)
		}
	} else {
		d.judged.standstills.beside(w)
		d.skipped.add(w)
		d.arming.add(w.Index, armHits{baseline, canary})
	}
	for _, l := range w.Late {
		if l.Index < d.changed {
			continue
		}
		d.all.late(l)
		d.stage.late(l)
		for _, part := range d.targets {
			part.late(l)
		}
		if d.split != nil && d.arming.judging(l.Index) {
			if d.judged.late(l) {
				d.seconds.times(l.Answers)
			}
			d.split.late(l, hits(l.Answers, d.target.Canary))
		} else {
			d.skipped.late(l)
		}
	}
	if d.split == nil && d.arming.start >= 0 {
		d.arm()
	}
}

func hits(a attack.Answers, version string) uint64 {
	if t := a.Arms[version]; t != nil {
		return t.Hits
	}
	return 0
}

// arm makes the checks that count from the start of judging. What they may learn, they learn from answers that they
// do not count: of the before phase, or those that arming let pass.
func (d *during) arm() {
	p, t := d.policy, d.target
	var err error
	keep := func(c check, problem error) {
		d.checks = append(d.checks, c)
		if err == nil {
			err = problem
		}
	}
	d.seconds.settled = max(d.arming.settle, d.arming.start)
	d.split, err = newSplitCheck(p, t.Share(), d.levels, max(d.arming.settle, d.arming.start), p.Unattributed == Independent)
	keep(d.split, err)

	known := attack.Histogram(nil)
	if tally := d.skipped.Arms[t.Baseline]; tally != nil {
		known = tally.Response
	}
	var rate *sequential.Rate
	if d.before != nil {
		e := d.before.evidence(t.Baseline, "")
		known, rate = e.baseline.response, &sequential.Rate{K: e.baseline.errors, N: e.baseline.hits}
	}
	d.known, d.seconds.slowFrom = known, known.Quantile(0.95)
	bound, problem := sequential.NewBound(float64(p.Errors.Max), d.levels)
	for _, canary := range []bool{false, true} {
		keep(armErrors{test: bound, needed: -math.Log(p.Alpha), limit: float64(p.Errors.Max), version: d.version(canary), canary: canary}, problem)
	}
	difference, problem := sequential.NewDifference(t.Share(), p.Errors.Margin/100, rate, d.levels)
	keep(errorDifference{difference, p.Errors.Margin / 100}, problem)
	for _, q := range p.sortedMax() {
		bound, problem := sequential.NewBound(1-float64(q), d.levels)
		for _, canary := range []bool{false, true} {
			keep(d.latency(bound, q, canary), problem)
		}
	}
	for _, q := range p.sortedMargin() {
		keep(newLatencyDifference(q, p.Latency.Margin[q], known, d.levels))
	}
	if d.before != nil {
		was := d.before.evidence(t.Baseline, "")
		keep(newInterferingErrors(p.Errors.Margin/100, was, d.levels))
		for _, q := range p.sortedMargin() {
			keep(newInterferingLatency(q, p.Latency.Margin[q], was, d.levels))
		}
	}
	d.armTargets(keep)
	if err != nil { // Validate lets no such policy through; should one come, nothing is promoted
		d.conclude(d.all.to, Inconclusive, err.Error())
	}
}

// latency asks whether an arm keeps the policy's bound on a quantile.
func (d *during) latency(test sequential.Bound, q Quantile, canary bool) check {
	c := armLatency{test, q, time.Duration(d.policy.Latency.Max[q]), d.version(canary), canary}
	if d.suggested != nil {
		return suggestedLatency{c, *d.suggested}
	}
	return c
}

func (d *during) version(canary bool) string {
	if canary {
		return d.target.Canary
	}
	return d.target.Baseline
}

// readings are all checks at this moment, weighed as the policy's whole set of checks, whether they have begun or not:
// one that has not stands at 1 to 1.
func (d *during) readings() []reading {
	e := d.evidence()
	return d.readingsOf(&e)
}

// evidence is what was judged, as the policy wants it read.
func (d *during) evidence() evidence { return d.evidenceOf(&d.judged) }

func (d *during) evidenceOf(t *totals) evidence {
	e := t.evidence(d.target.Baseline, d.target.Canary)
	if d.policy.Unattributed == Independent {
		e.attribute()
	}
	if d.policy.Robust == Blocks {
		e.bursts, e.slowBursts, e.routed = d.seconds.failed.factor(), d.seconds.slow.factor(), d.seconds.routed.factor()
	}
	return e
}

func (d *during) readingsOf(e *evidence) []reading {
	readings := make([]reading, len(d.checks))
	for i, c := range d.checks {
		readings[i].check = c
		readings[i].pass, readings[i].fail = c.look(e)
	}
	d.weigh(readings)
	return readings
}

// weigh gives each reading its weight in the whole set of the policy's checks, whether they have begun or not.
func (d *during) weigh(readings []reading) {
	p := d.policy
	members := [groups]int{relativeErrors: 1, split: 1, stageErrors: 1, canaryErrors: 2,
		relativeLatency: len(p.Latency.Margin), canaryLatency: len(p.Latency.Max)}
	if d.before != nil {
		members[stageAgainstBefore] = 1
	}
	weigh(readings, members, len(d.targets))
}

// look decides if it can, failure first.
func (d *during) look(now time.Duration) (decided bool) {
	d.last, d.unlike = nil, ""
	doubts := d.doubts()
	if !d.mayDecide(now, doubts) {
		return false
	}
	return d.decide(now, doubts)
}

// mayDecide rules a decision out for less than it takes to make one: most looks find nothing new.
func (d *during) mayDecide(now time.Duration, doubts []doubt) bool {
	if names, _ := foreignVersions(d.all.Arms, d.target.Baseline, d.target.Canary); len(doubts) > 0 || len(names) > 0 {
		return true
	}
	e := d.evidence()
	readings := make([]reading, len(d.checks))
	for i, c := range d.checks {
		readings[i].check = c
		if search, ok := c.(searching); ok {
			readings[i].pass, readings[i].fail = search.atMost(&e)
		} else {
			readings[i].pass, readings[i].fail = c.look(&e)
		}
	}
	d.weigh(readings)
	toPass, toFail := -math.Log(d.policy.Alpha), -math.Log(d.policy.Beta)
	passed := d.split != nil && now >= d.begin+time.Duration(d.policy.MinDuration)
	for _, r := range readings {
		if r.check.group() <= interference && r.fail >= toFail {
			return true
		}
		passed = passed && (!r.check.passes() || r.pass >= toPass)
	}
	logE, _ := failing(readings, true)
	return passed || logE >= toFail
}

// current are the readings as of the last window.
func (d *during) current() []reading {
	if d.last == nil {
		d.last = d.readings()
	}
	return d.last
}

// decide is look where it matters.
func (d *during) decide(now time.Duration, doubts []doubt) (decided bool) {
	d.last = d.readings()
	void, final := sentences(doubts)
	toPass, toFail := -math.Log(d.policy.Alpha), -math.Log(d.policy.Beta)

	if foreign := foreignCheck(&d.all, d.target.Baseline, d.target.Canary); foreign.Outcome == Fail && !final {
		return d.reject(now, foreign.Name, foreign.Sentence, "One such answer is proof.")
	}
	for _, r := range d.last {
		if r.fail < toFail {
			continue
		}
		switch r.check.group() {
		case guard:
			return d.conclude(now, Inconclusive, append(void, "the baseline itself is out of bounds: "+unstopped(d.explain(r, Fail).Sentence))...)
		case interference:
			if len(void) == 0 { // a generator that is late makes everything look slower than before
				return d.conclude(now, Inconclusive, "both versions are worse than before the canary: "+unstopped(d.explain(r, Fail).Sentence))
			}
		}
	}
	logE, culprit := failing(d.last, len(void) == 0) // a generator that is late is no slow canary
	if logE >= toFail && !final {
		if !d.canarysDoing(culprit.check) && d.baselineSound() { // a rise of what was there before: does the rest suffice?
			if rest, whose := failing(d.canarys(d.last), len(void) == 0); rest >= toFail {
				culprit = whose
			}
		}
		if d.canarysDoing(culprit.check) {
			return d.reject(now, culprit.check.name(), d.explain(culprit, Fail).Sentence,
				sentence("If everything were within bounds, a result this bad would come up at most once in %s runs.", Count(uint64(math.Round(1/d.policy.Beta)))))
		}
		if d.all.Arms[d.target.Baseline] == nil {
			return d.conclude(now, Inconclusive, "the baseline may be the one that fails: "+unstopped(d.explain(culprit, Fail).Sentence))
		}
		return false // its own answers will tell, one way or the other
	}
	if final {
		return d.conclude(now, Inconclusive, void...)
	}
	if len(void) > 0 || d.split == nil || now < d.begin+time.Duration(d.policy.MinDuration) {
		return false
	}
	weakest := reading{pass: math.Inf(1)}
	for _, r := range d.last {
		if r.check.passes() && r.pass < weakest.pass {
			weakest = r
		}
	}
	if weakest.check == nil || weakest.pass < toPass {
		return false
	}
	if d.unlike = d.lastHalf(toFail); d.unlike != "" {
		return false
	}
	d.conclude(now, Promote)
	d.conclusion.Culprit = weakest.check.name()
	d.conclusion.Sentence = sentence("PROMOTE. Had any one of these bounds been broken during this run, a result this good would have come up at most once in %s runs, however often we looked.",
		Count(uint64(math.Round(1/d.policy.Alpha))))
	return true
}

// lastHalf names what the last half of the judged answers would fail by on its own, "" if by nothing. The split looks at
// every start already, and the stage's errors at all.
func (d *during) lastHalf(toFail float64) string {
	e := d.evidence()
	was, found := d.past.half(d.judged.hits)
	if !found {
		return ""
	}
	last := e.since(was)
	readings := d.readingsOf(&last)
	for i, r := range readings {
		_, one := r.check.(inTarget)
		if g := r.check.group(); one || g == split || g == stageErrors || g == stageAgainstBefore {
			readings[i].fail = 0
		}
	}
	if logE, culprit := failing(readings, true); logE >= toFail {
		return culprit.check.name()
	}
	return ""
}

// canarysDoing reports whether what the check proves can be laid at the canary's door.
func (d *during) canarysDoing(c check) bool {
	switch c := c.(type) {
	case *wholeStage:
		return d.baselineSound()
	case inTarget:
		return c.group() != stageErrors || c.part.sound()
	case stageRise:
		return c.clean() && d.baselineSound()
	}
	return true
}

// canarys are the readings, but that what cannot be laid at the canary's door carries nothing.
func (d *during) canarys(readings []reading) []reading {
	out := slices.Clone(readings)
	for i, r := range out {
		if !d.canarysDoing(r.check) {
			out[i].fail = math.Inf(-1)
		}
	}
	return out
}

// baselineSound reports that the baseline's own errors since the first change do not speak against it: server errors of
// the whole stage may then be laid at the canary's door. An early error or two are no evidence yet.
func (d *during) baselineSound() bool { return d.soundIn(&d.all) }

func (d *during) soundIn(t *totals) bool {
	test, err := sequential.NewBound(float64(d.policy.Errors.Max), d.levels)
	e := t.evidence(d.target.Baseline, d.target.Canary)
	return err == nil && e.baseline.hits > 0 && test.Fail(e.baseline.errors, e.baseline.hits) < -math.Log(d.policy.Beta)/2
}

// unstopped is a sentence that another one ends with.
func unstopped(s string) string { return strings.TrimSuffix(s, ".") }

func sentences(doubts []doubt) (all []string, final bool) {
	for _, doubt := range doubts {
		all = append(all, doubt.sentence)
		final = final || doubt.final
	}
	return all, final
}

func (d *during) reject(now time.Duration, culprit, why, strength string) bool {
	d.conclude(now, Reject)
	d.conclusion.Culprit = culprit
	d.conclusion.Sentence = sentence("REJECT after %s. %s %s", plural(d.all.hits, "request", "requests"), why, strength)
	return true
}

func (d *during) conclude(now time.Duration, v Verdict, void ...string) bool {
	d.done = true
	d.conclusion = Conclusion{Verdict: v, At: now, Void: void}
	if len(void) > 0 {
		d.conclusion.Sentence = "INCONCLUSIVE: " + void[0] + "."
	}
	return true
}

// deadline concludes what the evidence did not: fail closed, and say what is missing.
func (d *during) deadline() {
	if d.judged.rest(); !d.done && d.split != nil {
		d.look(d.all.to)
	}
	if d.done {
		return
	}
	d.last = d.readings()
	void, _ := sentences(d.doubts())
	if d.conclude(d.all.to, Inconclusive, void...); len(void) > 0 {
		return
	}
	if d.split == nil {
		d.conclusion.Sentence = "INCONCLUSIVE: the load ended before anything could be judged."
		return
	}
	open, more := reading{pass: math.Inf(1)}, math.Inf(1)
	for _, r := range d.last {
		if r.check.passes() && r.pass < open.pass {
			open = r
		}
	}
	if toPass := -math.Log(d.policy.Alpha); open.pass > 0 {
		more = float64(d.judged.hits) * (toPass/open.pass - 1)
	}
	d.conclusion.Culprit = open.check.name()
	d.conclusion.Sentence = sentence("INCONCLUSIVE at the deadline: %s still undecided. %s Treated as not passed.", open.check.name(), d.explain(open, Undecided).Sentence)
	logE, culprit := failing(d.last, true)
	switch {
	case logE >= -math.Log(d.policy.Beta): // or it would have been a reject
		d.conclusion.Culprit = culprit.check.name()
		d.conclusion.Sentence = sentence("INCONCLUSIVE: nobody can say that it is the canary's doing, but something is wrong. %s", d.explain(culprit, Fail).Sentence)
	case d.unlike != "":
		d.conclusion.Culprit = d.unlike
		d.conclusion.Sentence = sentence("INCONCLUSIVE: over the whole run every check passed, but its last half alone would fail by %s: the release is not what it was.", d.unlike)
	case more <= 0:
		d.conclusion.Sentence = "INCONCLUSIVE: every check passed, but the load ended before min-duration."
	case more < 100*float64(d.judged.hits):
		d.conclusion.Sentence += sentence(" About %s more requests should settle it.", Count(roundUp(more)))
	case 2*d.judged.hits > d.levels.Budget: // of a run cut short that would be too much to say
		d.conclusion.Sentence += " More requests of this kind would hardly settle it: the evidence does not grow."
	}
}

// roundUp keeps two digits.
func roundUp(x float64) uint64 {
	unit := math.Pow(10, max(math.Floor(math.Log10(max(x, 1)))-1, 0))
	return uint64(math.Ceil(x/unit) * unit)
}

// explain is the check with its numbers, outcome as given.
func (d *during) explain(r reading, o Outcome) Check {
	e := d.evidence()
	return r.explain(&e, o, d.policy)
}

// outcome is what one check says on its own, or as the culprit of a reject.
func (d *during) outcome(r reading) Outcome {
	return r.outcome(d.policy, d.conclusion)
}

// warnings say where the evidence is weaker than the numbers look.
func (d *during) warnings() (notes []string) {
	if bursts := d.seconds.failed.factor(); bursts > burstsWorthNote {
		notes = append(notes, sentence("Errors came in bursts (%s times the spread of independent errors): this verdict describes the last %s, not the long run.",
			significant(bursts), Short(d.judged.to-d.judged.from)))
	}
	if delta := d.seconds.confounded(); delta > d.policy.Errors.Margin/100/5 {
		notes = append(notes, sentence("The split wobbled while the error rate moved: that alone makes %s of difference between the versions.", points(delta*100)))
	}
	if anonymous := d.judged.evidence(d.target.Baseline, d.target.Canary).errors; d.split != nil {
		if share := float64(anonymous) / float64(max(hits(d.judged.Answers, d.target.Canary), 1)); share > d.policy.Errors.Margin/100/5 {
			notes = append(notes, sentence("%s carried no version and counted against the canary; above a fifth of the errors margin this alone can keep it from passing.",
				plural(anonymous, "error", "errors")))
		}
	}
	if d.policy.Unattributed == Independent {
		notes = append(notes, "Errors without a version were attributed in proportion: this assumes that gateway errors do not depend on the version.")
	}
	if names := d.unheard(); d.split != nil && len(names) > 0 {
		notes = append(notes, sentence("Too few answers to tell a dead canary on %s: send more there (%s), or for longer.", strings.Join(names, ", "), attack.WeightHeader))
	}
	if d.before == nil {
		notes = append(notes, "There was no before phase: whether the canary made both versions worse was not checked.")
	}
	return notes
}

// report explains every check, those that have not begun included in words.
func (d *during) report() (checks []Check) {
	for _, r := range d.current() {
		o := d.outcome(r)
		if _, early := r.check.(earlyErrors); early && o != Fail && d.split != nil {
			continue // the same question is asked below, of what was judged
		}
		checks = append(checks, d.explain(r, o))
	}
	checks = append(checks, foreignCheck(&d.all, d.target.Baseline, d.target.Canary))
	void, _ := sentences(d.doubts())
	validity := Check{Name: "measurement", Unit: UnitCount, N: d.all.hits, K: uint64(len(void)), Guard: true, Outcome: Pass,
		Sentence: "Nothing puts the measurement in doubt."}
	switch {
	case len(void) > 0:
		validity.Outcome, validity.Sentence = Fail, capital(void[0])+"."
	case d.judged.hits == 0:
		validity.Outcome, validity.Sentence = Undecided, "No measurement was judged."
	case d.judged.standstills.said() != "":
		validity.Sentence = capital(d.judged.standstills.said()) + "."
	}
	return append(checks, validity)
}
