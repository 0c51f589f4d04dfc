package analyze

import (
	"math"
	"slices"
	"strings"
	"time"

	"coalmine/analyze/capacity"
	"coalmine/analyze/sequential"
	"coalmine/attack"
)

// TrialArm is what one arm, or the whole stage, did in a trial.
type TrialArm struct {
	Name   string        `json:"name"`       // stage, a version, or unattributed
	Rate   float64       `json:"rate_per_s"` // of its answers
	Hits   uint64        `json:"hits"`
	Errors uint64        `json:"errors"`
	P50    time.Duration `json:"p50_ns"` // response times of successes
	P99    time.Duration `json:"p99_ns"`
}

// TrialReport is a trial as it was judged.
type TrialReport struct {
	capacity.Done
	Took     time.Duration `json:"took_ns"` // judged
	Sent     float64       `json:"sent_per_s"`
	Resent   uint64        `json:"resent,omitempty"` // hits sent a second time: their kept connection was found closed
	Arms     []TrialArm    `json:"arms"`             // the stage first
	Bursts   []float64     `json:"bursts,omitempty"` // by objective: how many times wider than independent ones they spread that broke it; 0: too few to say
	Sentence string        `json:"sentence"`
	Breaker  string        `json:"breaker,omitempty"` // why the circuit breaker stopped the load
}

// Trial judges one load at one rate, window by window. A queue answers in bursts, so its tests are tempered by their spread,
// and by that of an earlier trial near by, for who has seen no burst yet knows nothing of their size. It fails
// no sooner than after half of the shortest time, unless most answers are bad. It passes only if what came after that half
// passes alone, if response times do not rise, and, of a trial that confirms, if it was long enough for how slowly they move
// up and down: near saturation a queue takes its time.
// Windows in which this machine stood still say nothing of the target, whatever it did: they are left out.
type Trial struct {
	rating  Rating
	trial   capacity.Trial
	checks  []*aim
	errors  *sequential.Bound // everybody's errors, where one arm is judged: those without a version
	breaker breaker

	from    time.Duration // of what is judged
	begun   bool
	first   int64
	to      time.Duration // of all windows
	sieve   sieve
	all     totals
	half    evidence
	ticks   ticks // of what is judged
	quota   quota
	credit  time.Duration // for which a quota's burst may carry the load
	outcome capacity.Outcome
	leaning capacity.Outcome
	settled bool
	why     string
	tripped string
	hungry  bool          // for connections
	usual   time.Duration // of the answers at lower rates
}

// aim is one objective's check.
type aim struct {
	Objective
	check  check
	bursts float64 // as an earlier trial saw them
}

// NewTrial judges a trial of a valid rating, after others.
func NewTrial(r Rating, t capacity.Trial, earlier []TrialReport) (*Trial, error) {
	levels := sequential.Levels{Alpha: t.Risk, Beta: t.Risk / float64(len(r.Objectives)), Budget: uint64(t.Rate*t.Longest.Seconds()) + 1}
	j := &Trial{rating: r, trial: t, breaker: breaker{policy: r.Breaker}, credit: livesOff(t.Rate, earlier), usual: usualTime(r, t.Rate, earlier)}
	j.sieve = newSieve(j.late(), mostLate, j.answers)
	for i, o := range r.Objectives {
		bound, err := sequential.NewBound(o.theta(), levels)
		if err != nil {
			return nil, err
		}
		a := &aim{Objective: o, bursts: burstsNear(t.Rate, i, earlier)}
		if o.Errors > 0 {
			a.check = armErrors{test: bound, needed: -math.Log(t.Risk), limit: float64(o.Errors), version: r.Version, canary: true}
			j.errors = &bound
		} else {
			a.check = armLatency{bound, o.Quantile, time.Duration(o.Max), r.Version, true}
		}
		j.checks = append(j.checks, a)
	}
	return j, nil
}

// Add takes the next window.
func (j *Trial) Add(w attack.Window) {
	if !j.begun {
		j.begun, j.from = true, w.Start+j.rating.WarmUp
		j.first = int64(j.from / attack.WindowLength)
		j.quota.begun = w.Start
	}
	if j.settled {
		return
	}
	j.to = w.End()
	j.quota.add(&w)
	if j.tripped = j.breaker.add(&w); w.Index >= j.first {
		j.take(&w)
		j.look()
	}
	if j.tripped != "" && !j.settled {
		j.settle(capacity.Fail, "the circuit breaker stopped the load: "+j.tripped)
	} else if j.settled && j.outcome == capacity.Fail {
		j.tripped = "" // it was decided in time
	}
}

// take counts the window before this one, unless this machine stood still in either, or just before.
func (j *Trial) take(w *attack.Window) {
	j.count(j.sieve.add(w))
	if j.took() >= j.trial.Longest {
		j.count(j.sieve.rest())
	}
}

// mostLate of the due requests may be: more are a standstill.
const mostLate = 1. / 20

// late is how late a request may be sent: what matters to a bound on latency, and never less than the policy has it. Where
// there is none, a window.
func (j *Trial) late() time.Duration {
	limit := time.Duration(j.rating.Validity.WakeLate)
	if slowestMax(j.rating.Objectives) == 0 {
		limit = max(limit, attack.WindowLength)
	}
	for _, o := range j.rating.Objectives {
		limit = max(limit, time.Duration(o.Max)/10)
	}
	return limit
}

func (j *Trial) count(w *attack.Window) {
	if w == nil {
		return
	}
	j.all.add(w)
	j.tell(w.Index, j.evidenceOf(w.Answers, 0))
	j.answers(w)
	if j.took() <= j.trial.Shortest/2 {
		j.half = j.evidence()
		j.half.canary.response = slices.Clone(j.half.canary.response)
		j.half.response = slices.Clone(j.half.response)
	}
}

// answers counts the late ones of a window, which belong to others, where those were counted.
func (j *Trial) answers(w *attack.Window) {
	for _, l := range w.Late {
		if l.Index >= j.first && !j.sieve.dropped[l.Index] {
			j.all.late(l)
			j.tell(w.Index, j.evidenceOf(l.Answers, 0))
		}
	}
}

// tell notes what became known with a window.
func (j *Trial) tell(index int64, e evidence) {
	t := j.ticks.at(index-j.first, len(j.checks))
	t.wait(e.canary)
	for i, a := range j.checks {
		k, n := a.broke(e.canary, e.canary.response)
		t.bad[i], t.of[i] = t.bad[i]+k, t.of[i]+n
	}
}

// evidenceOf has the judged arm as the canary. Of the whole stage, that is everybody.
func (j *Trial) evidenceOf(a attack.Answers, pending uint64) evidence {
	if j.rating.Version != "" {
		t := totals{Answers: a, pending: pending}
		return t.evidence("", j.rating.Version)
	}
	if len(a.Arms) == 1 && len(a.Unattributed) == 0 {
		for _, only := range a.Arms {
			return evidence{canary: armOf(only), pending: pending}
		}
	}
	var all attack.Tally
	for t := range tallies(a) {
		all.Merge(t)
	}
	return evidence{canary: armOf(&all), pending: pending}
}

func (j *Trial) evidence() evidence { return j.evidenceOf(j.all.Answers, j.all.pending) }

func (j *Trial) took() time.Duration { return j.to - j.from }

// look decides if it can: bad surroundings first, then fail before pass.
func (j *Trial) look() {
	e, took := j.evidence(), j.took()
	starved := j.starved(&e)
	if void := j.void(starved); void != "" {
		j.settle(capacity.Invalid, void)
		return
	}
	throttled := j.throttled()
	if throttled != "" && j.all.hits >= fewestValid && j.quota.windows >= fewestRefusing {
		j.settle(capacity.Limited, throttled)
		return
	}
	toPass, toFail := -math.Log(j.trial.Risk), -math.Log(j.trial.Risk/float64(len(j.checks)))
	passing, broken, worst := took >= j.trial.Shortest, (*aim)(nil), 0.0
	for i, a := range j.checks {
		bursts := j.ticks.bursts(i)
		of := j.seenBy(a, e, bursts)
		_, fail := a.check.look(&of)
		if a.Errors > 0 {
			fail = max(fail, j.everybody(&e, bursts))
		}
		if fail >= toFail && fail > worst {
			worst, broken = fail, a
		}
		for _, since := range []evidence{{}, j.half} { // the second half has to pass alone
			if passing {
				of = j.seenBy(a, e.since(since), max(bursts, a.bursts))
				pass, _ := a.check.look(&of)
				passing = pass >= toPass
			}
		}
	}
	k := classCount(j.all.Answers, attack.Throttled)
	if throttled == "" && broken != nil && broken.Errors > 0 && 2*k > failures(j.all.Answers) {
		throttled = sentence("%s of %s answers are 429", Count(k), Count(j.all.hits))
	}
	switch {
	case k > 0 && j.quota.windows < fewestRefusing && took < j.trial.Longest: // soon it is known what is let through
	case throttled != "" && (broken != nil && broken.Errors > 0 && j.patient(&e) || took >= j.trial.Longest):
		j.settle(capacity.Limited, throttled)
	case starved != "" && (broken != nil && j.patient(&e) ||
		(passing || took >= j.trial.Longest) && j.crowded() && j.fellShort() ||
		!passing && took >= j.trial.Longest && j.leans(&e) == capacity.Fail):
		j.hungry = true
		j.settle(capacity.Invalid, starved)
	case broken != nil && j.patient(&e):
		of := j.seenBy(broken, e, 0)
		j.settle(capacity.Fail, broken.says(&of, Fail))
	case passing && !j.rising() && !j.onCredit() && j.sawEnough(&e) == "":
		j.settle(capacity.Pass, j.says(&e, Pass))
	case took >= j.trial.Longest && e.all() == 0:
		j.settle(capacity.Invalid, "no answer could be judged: this machine stood still")
	case took >= j.trial.Longest || j.futile(&e):
		j.leaning = j.leans(&e)
		why := j.says(&e, Undecided)
		if unsure := j.sawEnough(&e); passing && j.rising() {
			why += "; response times rise"
		} else if passing && j.onCredit() {
			why += "; the burst that a quota holds may carry it for so long"
		} else if passing && unsure != "" {
			why += "; " + unsure
		}
		j.settle(capacity.Undecided, why)
	}
}

// throttled says that the target refuses many for their number, and hardly for anything else: "" if it does not.
func (j *Trial) throttled() string {
	k, n := classCount(j.all.Answers, attack.Throttled), j.all.hits
	if q := &j.quota; q.windows >= steadily && float64(q.refused) > float64(j.rating.Validity.Throttled)*float64(q.hits) {
		return sentence("%s of %s answers are 429 since the first", Count(q.refused), Count(q.hits))
	}
	if few := n < fewestValid; k == 0 || float64(k) <= float64(j.rating.Validity.Throttled)*float64(n) || few && (k < 3 || 2*k < failures(j.all.Answers)) {
		return ""
	}
	return sentence("%s of %s answers are 429", Count(k), Count(n))
}

const (
	fewestErrors = 20   // that tell of how they spread
	oneByOne     = 1.5  // times wider than independent ones: no queue makes them
	nearRate     = 1.05 // times a rate or less: errors spread alike at both
	hopeless     = 0.4  // of a trial's longest time: from then on it may be seen that the rest of it decides nothing
)

// onCredit reports that the load is younger than the burst of a quota may carry it, that earlier trials ran into.
func (j *Trial) onCredit() bool { return j.to-j.quota.begun < j.credit }

// rising reports that response times rise as those of an overload do that matters to the width of the interval.
func (j *Trial) rising() bool {
	plan := j.rating.Search.Complete()
	return j.ticks.grow(int(j.trial.Shortest/2/attack.WindowLength), growth*plan.Width)
}

// sawEnough is why the trial, which confirms a rate, was too short for how slowly the target moves: "" if it was not.
func (j *Trial) sawEnough(e *evidence) string {
	if !j.trial.Full() {
		return ""
	}
	m := j.ticks.moves()
	for i, a := range j.checks {
		if a.mayBreak(e, m, j.trial.Risk) {
			return sentence("response times move slowly: in the long run %s may be more than %s", a.Quantile, Short(time.Duration(a.Max)))
		}
		if a.Errors == 0 {
			continue
		}
		wanted := 0.
		if k, n := j.ticks.bad(i); k >= fewestErrors && j.ticks.bursts(i) < oneByOne {
			continue
		} else if float64(k) > a.theta()/5*float64(n) {
			wanted = enoughLooks
		} else if j.took() < j.trial.Longest {
			wanted = fewLooks * math.Sqrt(min(1, ofFew/a.theta()))
		}
		if m.looks < min(wanted, unrelated*float64(len(j.ticks))) && m.sd >= still*m.mean {
			return sentence("response times move slowly: this is worth %d independent looks at them, and %d are wanted", int(m.looks), int(wanted))
		}
	}
	return ""
}

// futile reports that not even twice the looks of the longest time would show that a bound on latency holds, which it seems to.
func (j *Trial) futile(e *evidence) bool {
	if !j.trial.Full() || j.took() < 2*j.trial.Shortest || float64(j.took()) < hopeless*float64(j.trial.Longest) {
		return false
	}
	m := j.ticks.moves()
	m.looks *= 2 * float64(j.trial.Longest) / float64(j.took())
	return slices.ContainsFunc(j.checks, func(a *aim) bool { return a.mayBreak(e, m, j.trial.Risk) })
}

// broke is how many answers of an arm broke the objective, by such times, of how many.
func (a *aim) broke(of arm, times attack.Histogram) (k, n uint64) {
	if a.Errors > 0 {
		return of.errors, of.hits
	}
	return surelyAbove(times, time.Duration(a.Max)) + of.timeouts, of.successes() + of.timeouts
}

// mayBreak reports that a bound on latency may be broken in the long run, though it does not seem to be.
func (a *aim) mayBreak(e *evidence, m motion, risk float64) bool {
	seen, limit := e.canary.response.Quantile(1-a.theta()).Seconds(), time.Duration(a.Max).Seconds()
	return a.Errors == 0 && seen <= limit && seen+m.hidden(a.theta(), risk) > limit
}

// burstsNear is how errors spread in the trial nearest to a rate that has seen enough of them, and was no plain overload. What a
// quota refuses comes at once and means nothing at lower rates.
func burstsNear(rate float64, objective int, earlier []TrialReport) (bursts float64) {
	nearest := math.Log(nearRate)
	for _, t := range earlier {
		if apart := math.Abs(math.Log(t.Rate / rate)); objective < len(t.Bursts) && t.Bursts[objective] > 0 && t.Outcome != capacity.Limited && apart <= nearest {
			nearest, bursts = apart, t.Bursts[objective]
		}
	}
	return bursts
}

// seenBy is the evidence as an objective may count it: where everybody is judged, a hit that has no answer by now has waited
// for longer than any bound on latency, for that is how long windows wait.
func (j *Trial) seenBy(a *aim, e evidence, bursts float64) evidence {
	e.bursts, e.slowBursts = bursts, bursts
	if a.Errors == 0 && j.rating.Version == "" {
		e.canary.hits, e.canary.errors, e.canary.timeouts = e.canary.hits+e.pending, e.canary.errors+e.pending, e.canary.timeouts+e.pending
		e.pending = 0
	}
	return e
}

// everybody is the evidence that the stage breaks the bound on errors where one arm is judged: what the gateway answers
// for an arm that is full names none.
func (j *Trial) everybody(e *evidence, bursts float64) float64 {
	if j.rating.Version == "" || j.errors == nil {
		return 0
	}
	return j.errors.Tempered(bursts).Fail(e.errors+e.canary.errors, j.all.hits+j.all.pending)
}

// patient reports that a trial is old enough to fail: one burst at its beginning is no reason.
func (j *Trial) patient(e *evidence) bool {
	bad := e.canary.errors + e.errors
	for _, a := range j.checks {
		if a.Errors == 0 {
			bad = max(bad, e.canary.errors+surelyAbove(e.canary.response, time.Duration(a.Max)))
		}
	}
	gross := j.took() >= time.Second && 2*bad > e.canary.hits+e.errors
	return j.took() >= j.trial.Shortest/2 || gross
}

// void is why the trial says nothing: the load was not what it should have been, or not understood.
func (j *Trial) void(starved string) string {
	if n, all := len(j.sieve.dropped), int(j.took()/attack.WindowLength); all >= 30 && 2*n > all {
		return sentence("the load generator was late: this machine stood still in %d of %d tenths of a second, and sent more than %s after requests were due though a connection was free", n, all, Short(j.late()))
	}
	if j.all.due < fewestValid {
		return ""
	}
	if unsent := j.all.due - min(j.all.sent, j.all.due); !(starved != "" && j.crowded()) && j.fellShort() && j.all.blocked.Total() < unsent && j.took() >= time.Second {
		return sentence("the load generator fell short: %s of %s due requests were sent", Count(j.all.sent), Count(j.all.due))
	}
	return ""
}

func (j *Trial) leans(e *evidence) capacity.Outcome {
	if j.rising() || j.onCredit() || e.canary.hits > 0 && e.canary.successes() == 0 {
		return capacity.Fail
	}
	for i, a := range j.checks {
		of := j.seenBy(a, *e, j.ticks.bursts(i))
		c := a.check.explain(&of, Undecided, reading{})
		_, fail := a.check.look(&of)
		few := a.theta()*float64(c.N) < 10 // of few hits one is no sign
		if float64(c.K) > a.theta()*float64(c.N) && (!few || fail > math.Log(3)) {
			return capacity.Fail
		}
	}
	return capacity.Pass
}

func (j *Trial) says(e *evidence, o Outcome) string {
	var all []string
	for _, a := range j.checks {
		of := j.seenBy(a, *e, 0)
		all = append(all, a.says(&of, o))
	}
	return strings.Join(all, "; ")
}

func (a *aim) says(e *evidence, o Outcome) string {
	c := a.check.explain(e, o, reading{})
	seen := "no answer"
	switch {
	case c.Estimate == nil:
	case a.Errors > 0:
		seen = sentence("errors %s of %s (%s)", Count(c.K), Count(c.N), Share(*c.Estimate))
	default:
		seen = sentence("%s %s, %s of %s slower than %s", a.Quantile, Short(time.Duration(*c.Estimate)), Count(c.K), Count(c.N), Short(time.Duration(a.Max)))
	}
	return seen
}

func (j *Trial) settle(o capacity.Outcome, why string) {
	if j.settled, j.outcome, j.why = true, o, why; o != capacity.Undecided {
		j.leaning = capacity.Undecided
	}
}

// Settled reports that nothing more is needed.
func (j *Trial) Settled() bool { return j.settled }

// Report is the trial as it stands; at is the time since the search began.
func (j *Trial) Report(at time.Duration) TrialReport {
	if !j.settled && j.begun {
		e := j.evidence()
		j.leaning = j.leans(&e)
		j.why = j.says(&e, Undecided)
	}
	took := max(j.took(), 0)
	r := TrialReport{Took: took, Sentence: j.why, Breaker: j.tripped}
	r.Done = capacity.Done{Trial: j.trial, Outcome: j.outcome, Leaning: j.leaning, At: at}
	seconds := float64(max(j.all.windows, 1)) * attack.WindowLength.Seconds() // without those that were left out
	r.Starved = j.hungry
	r.Sent, r.Resent = float64(j.all.sent)/seconds, j.all.resent
	e := j.evidence()
	r.Good = float64(e.canary.successes()) / seconds
	if j.outcome == capacity.Limited {
		r.Allowed = j.quota.allowed()
		r.Burst = j.quota.burst(j.trial.Rate)
	}
	r.Arms = j.arms(seconds)
	for i, a := range j.checks {
		if k, n := j.ticks.bad(i); k >= fewestErrors && float64(k) <= 10*a.theta()*float64(n) {
			r.Bursts = append(r.Bursts, make([]float64, i-len(r.Bursts))...)
			r.Bursts = append(r.Bursts, j.ticks.bursts(i))
		}
	}
	return r
}

func (j *Trial) arms(seconds float64) (all []TrialArm) {
	var stage, nobody attack.Tally
	one := func(name string, t *attack.Tally) TrialArm {
		return TrialArm{Name: name, Rate: float64(t.Hits) / seconds, Hits: t.Hits, Errors: min(t.Failed(), t.Hits), P50: t.Response.Quantile(0.5), P99: t.Response.Quantile(0.99)}
	}
	target := j.rating.Target
	for _, name := range []string{target.Baseline, target.Canary} {
		if t := j.all.Arms[name]; t != nil && name != "" {
			all = append(all, one(name, t))
		}
	}
	for t := range tallies(j.all.Answers) {
		stage.Merge(t)
	}
	for _, t := range j.all.Unattributed {
		nobody.Merge(t)
	}
	if nobody.Hits > 0 && len(all) > 0 {
		all = append(all, one("unattributed", &nobody))
	}
	return append([]TrialArm{one(ArmStage, &stage)}, all...)
}
