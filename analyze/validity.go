package analyze

import (
	"cmp"
	"time"

	"coalmine/analyze/sequential"
	"coalmine/attack"
)

// doubt is a reason for which the measurement cannot carry a verdict. A final one also forbids a reject: what was
// measured is not what was configured. The others forbid only a promote, and may pass.
type doubt struct {
	final    bool
	sentence string
}

// fewest hits from which shares of them say something about the measurement.
const fewestValid = 200

// incidents are what happened beside a measurement that puts it in doubt.
type incidents struct {
	changes, jumps []string
	missing        int64 // windows
}

// changed is the reason that a changed stage gives.
func changed(what string) string { return "stage changed under test: " + what }

func (i *incidents) doubts() (found []doubt) {
	for _, what := range i.changes {
		found = append(found, doubt{true, changed(what)})
	}
	if i.missing > 0 {
		found = append(found, doubt{false, sentence("evidence is missing: %s not in the run file", plural(uint64(i.missing), "window is", "windows are"))})
	}
	for _, jump := range i.jumps {
		found = append(found, doubt{false, "the clock jumped: " + jump})
	}
	return found
}

// doubts looks for everything but the release that may explain what was seen.
func (d *during) doubts() (found []doubt) {
	t, v := &d.judged, d.policy.Validity
	found = d.incidents.doubts()
	ours := hits(t.Answers, d.target.Canary)
	both := ours + hits(t.Answers, d.target.Baseline)
	if fail := d.sticky.Fail(t.turns.Switched, t.turns.Same, ours, both); times(fail) >= sequential.TurnsEvidence {
		p := float64(ours) / float64(both)
		found = append(found, doubt{true, sentence("routing is sticky or cached: on one connection the answering version changed only %s of %s times, independent routing would change %s",
			Count(t.turns.Switched), Count(t.turns.Switched+t.turns.Same), Share(2*p*(1-p)))})
	}
	if spread := d.seconds.routed.factor(); spread > cachedRouting {
		found = append(found, doubt{true, sentence("routing is cached or comes in blocks: from one tenth of a second to the next the canary's share moves %s times as much as independent routing would", significant(spread))})
	}
	if d.all.hits < fewestValid {
		return found
	}
	found = append(found, d.all.misunderstood(v)...)
	anonymous, base, canary := d.refused()
	if share := Percentage(float64(anonymous) / float64(max(d.all.hits, 1))); share > v.Unrecognised || base > v.Unrecognised && canary > v.Unrecognised {
		found = append(found, d.all.refusing())
	}
	if t.hits < fewestValid {
		return found
	}
	return append(found, t.generator(v)...)
}

// misunderstood are the doubts whether the answers are those of the stage under test at all.
func (t *totals) misunderstood(v ValidityPolicy) (found []doubt) {
	share := func(k, n uint64) Percentage { return Percentage(float64(k) / float64(max(n, 1))) }
	if k := classCount(t.Answers, attack.Throttled); share(k, t.hits) > v.Throttled {
		found = append(found, doubt{true, sentence("the stage throttles: %s of %s answers are 429", Count(k), Count(t.hits))})
	}
	if k, good := t.unrecognised(), t.successes(); share(k, good) > v.Unrecognised {
		found = append(found, doubt{true, sentence("the classifier does not tell who answered: %s of %s good answers name no version", Count(k), Count(good))})
	}
	return found
}

// refusals are the answers 401 and 403 that name no version.
func (t *totals) refusals() (k uint64) {
	for _, tally := range t.Unattributed {
		k += tally.Errors[attack.Unauthorized] + tally.Errors[attack.Forbidden]
	}
	return k
}

func (t *totals) refusing() doubt {
	k := classCount(t.Answers, attack.Unauthorized, attack.Forbidden)
	return doubt{true, sentence("the stage refuses us: %s of %s answers are 401 or 403 (credentials, API key, WAF)", Count(k), Count(t.hits))}
}

// generator are the doubts whether the load went out as it was planned.
func (t *totals) generator(v ValidityPolicy) (found []doubt) {
	if why := t.generatorLimited(v); why != "" {
		return []doubt{{false, why}}
	}
	if why := t.generatorLate(v); why != "" {
		found = append(found, doubt{false, why})
	}
	if short := t.due - min(t.sent, t.due); Percentage(float64(short)/float64(max(t.due, 1))) > v.Short && t.blocked.Total() < short {
		found = append(found, doubt{false, sentence("the load generator fell short: %s of %s due requests were sent", Count(t.sent), Count(t.due))})
	}
	return found
}

// generatorBehind says why hits waited for the generator, "" if they did not.
func (t *totals) generatorBehind(v ValidityPolicy) string {
	return cmp.Or(t.generatorLimited(v), t.generatorLate(v))
}

// generatorLimited says that the load was more than this machine could send, "" if it was not: processors without time
// left, and hits that waited, whether for these or, as it then looks, for connections whose answers nobody had read; those
// that never went out waited longest.
func (t *totals) generatorLimited(v ValidityPolicy) string {
	late := surelyAbove(t.wake, time.Duration(v.WakeLate)) + surelyAbove(t.blocked, time.Duration(v.WakeLate))
	late += t.due - min(t.due, t.wake.Total()+t.blocked.Total())
	if t.limited < 2 || 2*t.limited < t.windows || Percentage(float64(late)/float64(max(t.due, 1))) <= v.WakeShare {
		return ""
	}
	return sentence("generator-limited: this machine's processors were busy in %s of %s windows, and no more than %s requests/s came back",
		Count(uint64(t.limited)), Count(uint64(t.windows)), Count(uint64(float64(t.returned)/(float64(t.limited)*attack.WindowLength.Seconds()))))
}

// generatorLate says that the load did not go out when it was due, "" if it did. What was sent late says nothing of how
// fast the target is; of what counts wake-share may be late.
func (t *totals) generatorLate(v ValidityPolicy) string {
	k, sent := surelyAbove(t.wake, v.wakeLate()), t.sent
	if s := t.standstills; s != nil {
		if why := s.tooMany(); why != "" {
			return why
		}
		k, sent = s.late, s.sent
	}
	if sent < fewestValid || Percentage(float64(k)/float64(sent)) <= v.WakeShare {
		return ""
	}
	return sentence("the load generator was late: %s of %s requests went out more than %s after they were due though a connection was free",
		Count(k), Count(sent), v.WakeLate)
}

// refused is how many answers without a version are 401 or 403, and which share of either arm's. A canary that alone
// refuses us is a bad canary; what refuses everybody stands before both.
func (d *during) refused() (anonymous uint64, base, canary Percentage) {
	refusals := func(t *attack.Tally) uint64 {
		if t == nil {
			return 0
		}
		return t.Errors[attack.Unauthorized] + t.Errors[attack.Forbidden]
	}
	for _, t := range d.all.Unattributed {
		anonymous += refusals(t)
	}
	of := func(version string) Percentage {
		t := d.all.Arms[version]
		return Percentage(float64(refusals(t)) / float64(max(hits(d.all.Answers, version), 1)))
	}
	return anonymous, of(d.target.Baseline), of(d.target.Canary)
}

// successes are the answers without an error, whoever gave them.
func (t *totals) successes() (n uint64) {
	for tally := range tallies(t.Answers) {
		n += tally.Hits - min(tally.Failed(), tally.Hits)
	}
	return n
}

// unrecognised are the successes that name no version.
func (t *totals) unrecognised() (n uint64) {
	for _, cause := range []attack.Cause{attack.Unrecognised, attack.Conflict, attack.TooManyVersions} {
		if tally := t.Unattributed[cause]; tally != nil {
			n += tally.Hits - min(tally.Failed(), tally.Hits)
		}
	}
	return n
}

func classCount(a attack.Answers, classes ...attack.Class) (k uint64) {
	for t := range tallies(a) {
		for _, class := range classes {
			k += t.Errors[class]
		}
	}
	return k
}

// breaker trips when errors or throttling surge: then the load stops at once, whatever the checks think.
type breaker struct {
	policy BreakerPolicy
	recent []surge
}

type surge struct {
	end                     time.Duration
	hits, errors, throttled uint64
}

// add returns why it trips, or "".
func (b *breaker) add(w *attack.Window) string {
	now := surge{end: w.End(), hits: w.Hits, errors: failures(w.Answers), throttled: classCount(w.Answers, attack.Throttled)}
	for _, l := range w.Late { // they were due earlier, but they are how things stand now
		now.hits += answered(l.Answers)
		now.errors += failures(l.Answers)
		now.throttled += classCount(l.Answers, attack.Throttled)
	}
	b.recent = append(b.recent, now)
	for b.recent[0].end <= w.End()-time.Duration(b.policy.Over) {
		b.recent = b.recent[1:]
	}
	var sum surge
	for _, s := range b.recent {
		sum.hits += s.hits
		sum.errors += s.errors
		sum.throttled += s.throttled
	}
	over := sentence("of %s answers in %s", Count(sum.hits), b.policy.Over)
	switch n := float64(sum.hits); {
	case sum.hits < uint64(max(b.policy.MinHits, 1)):
	case float64(sum.throttled)/n > float64(b.policy.Throttled):
		return sentence("%s %s were throttled", Share(float64(sum.throttled)/n), over)
	case float64(sum.errors)/n > float64(b.policy.Errors):
		return sentence("%s %s were errors", Share(float64(sum.errors)/n), over)
	}
	return ""
}
