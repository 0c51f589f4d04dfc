// Package analyze is the judge of a canary release: windows of evidence and events go in, in due order, and a verdict
// comes out that may be looked at after every window (see package sequential for why that costs nothing). It reads no
// clock and knows no network: the same records give the same verdict, live or from a run file.
package analyze

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"coalmine/analyze/sequential"
	"coalmine/attack"
)

// Judge follows one run through its phases.
type Judge struct {
	header Header
	policy Policy
	levels sequential.Levels

	phases    []*phase
	during    *during
	bake      *bake
	known     *totals     // the tested stage before the canary
	suggested *suggestion // the bound on p99 that it led to; nil where the policy has its own
	events    []Event
	notes     []string
	leftOut   uint64         // windows that came out of order
	changed   *time.Duration // first change asked for
	acted     *time.Duration // promote or rollback done
	action    string
	spent     string // the limit on requests, once it is reached
	newest    int64
	end       End

	timeline *timeline // nil: nobody wants one
}

// NewJudge judges by the header's policy; without one it only counts. The policy must be valid.
func NewJudge(h Header) (*Judge, error) {
	j := &Judge{header: h, newest: -1, action: "none"}
	if err := checkTargets(h.Plan.Targets); err != nil {
		return nil, err
	}
	if h.Policy == nil {
		return j, nil
	}
	j.policy = *h.Policy
	j.levels = sequential.Levels{Alpha: j.policy.Alpha, Beta: j.policy.Beta, Budget: max(h.Budget, 1)}
	if h.Target.Alone() {
		if h.Target.Canary == "" || h.Target.Canary == h.Target.Baseline {
			return nil, fmt.Errorf("expected %q, absent %q: want a version, and another or none", h.Target.Canary, h.Target.Baseline)
		}
		return j, j.policy.validateAlone()
	}
	if err := j.policy.Validate(h.Target.Share()); err != nil {
		return nil, err
	}
	if h.Target.Baseline == "" || h.Target.Canary == "" || h.Target.Baseline == h.Target.Canary {
		return nil, fmt.Errorf("baseline %q and canary %q: want two different versions", h.Target.Baseline, h.Target.Canary)
	}
	return j, nil
}

// Note tells the judge what happened beside the traffic, in order.
func (j *Judge) Note(e Event) {
	j.events = append(j.events, e)
	at := e.At
	switch e.Name {
	case PhaseBegin:
		j.begin(e)
	case PhaseEnd:
		j.leave(e.At)
	case CanaryCreated:
		if j.changed == nil { // a second one would begin the evidence anew
			j.changed = &at
			if j.during != nil {
				j.during.change(e.At)
			}
		}
	case CanaryDeployed:
		if j.during != nil {
			j.during.deployed(e.At)
		}
	case PercentSet:
		if p := j.now(); p != nil && p.bake != nil && !p.bake.done && e.Detail["percent"] == "100" && e.Detail["error"] == "" {
			if err := p.bake.full(e.At); err != nil {
				j.notes = append(j.notes, fmt.Sprintf("phase %s: %s", e.Phase, err))
			}
		}
	case StageChanged:
		if i := j.measuring(); i != nil {
			i.changes = append(i.changes, e.Detail["what"])
		} else if c := j.concluded(); c != nil {
			c.void(changed(e.Detail["what"]))
		}
	case ClockJump:
		if i := j.measuring(); i != nil {
			i.jumps = append(i.jumps, e.Detail["by"])
		}
	case RequestsSpent:
		if !strings.HasPrefix(e.Phase, After) || j.header.Target.Alone() { // else the verdict is given there
			j.spent = e.Detail["limit"]
		}
	case PromoteEnd, RollbackEnd:
		if e.Detail["error"] == "" {
			j.acted = &at
			j.action = map[string]string{PromoteEnd: "promoted", RollbackEnd: "rolled back"}[e.Name]
		}
	case RepointEnd:
		if e.Detail["error"] == "" {
			j.action = "promoted and repointed"
		}
	}
	j.notes = append(j.notes, e.said()...)
}

// said is what an event alone adds to a report's notes.
func (e Event) said() []string {
	switch e.Name {
	case ControlTrouble:
		return []string{sentence("from %s on the stage could not be read: %s", Short(e.At), e.Detail["what"])}
	case Note:
		return []string{e.Detail["text"]}
	}
	return nil
}

// measuring keeps what happens beside a during phase or a bake that has no verdict yet: what happens later puts none in
// doubt.
func (j *Judge) measuring() *incidents {
	switch p := j.now(); {
	case p == nil:
	case p.during != nil && !p.during.done:
		return &p.during.incidents
	case p.bake != nil && !p.bake.done:
		return &p.bake.incidents
	}
	return nil
}

func (j *Judge) begin(e Event) {
	j.learn()
	p := &phase{name: e.Phase, stage: e.Detail["stage"], expect: e.Detail["expect"], begin: e.At, end: e.At}
	j.phases = append(j.phases, p)
	if j.header.Policy == nil {
		return
	}
	p.totals.standstills = newStandstills(j.policy.Validity)
	var err error
	kind, other, _ := strings.Cut(e.Phase, "/")
	switch kind {
	case Before:
		if p.clean, err = newClean(j.policy, j.levels, p.expect, "", 0); err == nil && other == "" {
			p.clean.healthy, p.clean.fewest = true, baselineHits
		}
	case During:
		if j.during != nil {
			err = fmt.Errorf("it comes again, and a second attempt would err more often than the policy allows")
			break
		}
		if failed := j.failedBefore(); failed != nil {
			break // by another policy than the run's the way was not free
		}
		p.totals.bare = true // the during phase keeps its own
		policy, levels := j.share(1 - bakeShare)
		if p.during, err = newDuring(policy, j.header.Target, j.header.Plan.Targets, levels, j.known, e.At, j.header.Plan.Timeout); err == nil {
			p.during.suggested = j.suggested
		}
		j.during = p.during
	case Bake:
		if j.bake != nil {
			err = fmt.Errorf("it comes again, and a second attempt would err more often than the policy allows")
			break
		}
		if j.during == nil || j.during.conclusion.Verdict != Promote {
			break // by another policy than the run's there was nothing to bake
		}
		policy, levels := j.share(bakeShare)
		levels.Budget = max(1, uint64(math.Ceil(j.header.Plan.Rate*j.header.Plan.Bake.Seconds())))
		if p.bake, err = newBake(policy, levels, j.header, j.during); err == nil {
			j.bake = p.bake
		}
	case After:
		if p.clean, err = newClean(j.policy, j.levels, p.expect, e.Detail["absent"], e.At+time.Duration(j.policy.Settle)); err == nil {
			p.clean.healthy = p.expect == j.header.Target.Canary
			p.clean.any = !p.clean.healthy
			if j.header.Target.Alone() { // else the phase before it has asked, with a baseline to compare with
				p.clean.targets = j.header.Plan.Targets
			}
		}
	}
	if err != nil {
		j.notes = append(j.notes, fmt.Sprintf("phase %s is not judged: %s", e.Phase, err))
	}
}

// learn takes from the tested stage before the canary what the policy left open, once that phase is over.
func (j *Judge) learn() {
	if p := j.now(); p != nil && p.name == Before && j.header.Policy != nil {
		j.known = &p.totals
		if s := j.suggestion(); s != nil {
			j.suggested, j.policy.Latency.Max = s, s.bound()
		}
	}
}

// latencyMax is the policy's bound, or what the phase before the canary suggests.
func (j *Judge) latencyMax() map[Quantile]Duration {
	if s := j.suggestion(); s != nil {
		return s.bound()
	}
	return j.policy.Latency.Max
}

// suggestion is what the phase before the canary suggests where the policy has no bound, nil where there is nothing.
func (j *Judge) suggestion() *suggestion {
	if j.policy.Latency.Max != nil {
		return nil
	}
	for _, p := range j.phases {
		if t := p.Arms[j.header.Target.Baseline]; p.name == Before && t != nil && t.Response.Total() > 0 {
			return suggest(t.Response)
		}
	}
	return nil
}

func (j *Judge) leave(at time.Duration) {
	if p := j.now(); p != nil {
		p.end = at
		if p.totals.rest(); p.clean != nil {
			p.clean.rest()
		}
		if p.during != nil {
			p.during.deadline()
		}
		if p.bake != nil {
			p.bake.deadline()
		}
		if j.timeline != nil {
			j.timeline.leave(p)
		}
	}
}

func (j *Judge) now() *phase {
	if len(j.phases) == 0 {
		return nil
	}
	return j.phases[len(j.phases)-1]
}

// Add counts a window; windows come in due order. One that is out of order or comes twice is left out, and noted.
func (j *Judge) Add(w attack.Window) {
	p := j.now()
	if p == nil || w.Phase != p.name || w.Index <= j.newest {
		if j.leftOut++; j.leftOut == 1 { // one note, however many
			j.notes = append(j.notes, fmt.Sprintf("window %d of phase %q is out of order and was left out", w.Index, w.Phase))
		}
		return
	}
	if gap := w.Index - j.newest - 1; gap > 0 && p.windows > 0 && j.measuring() != nil {
		j.measuring().missing += gap // a load has no gaps: somebody cut them out
	}
	j.newest = w.Index
	p.totals.add(&w)
	for _, l := range w.Late {
		p.totals.late(l)
	}
	p.end = w.End()
	switch {
	case p.clean != nil:
		p.clean.add(&w)
	case p.during != nil:
		p.during.add(&w)
	case p.bake != nil:
		p.bake.add(&w)
	}
	if j.timeline != nil {
		j.timeline.add(&w, p)
	}
}

// Settled reports that the phase needs no more traffic: it is decided, or cannot be.
func (j *Judge) Settled() bool {
	switch p := j.now(); {
	case p == nil:
		return false
	case p.clean != nil:
		return p.clean.outcome != Undecided
	case p.during != nil:
		return p.during.done
	case p.bake != nil:
		return p.bake.done
	}
	return false
}

// Outcome is what the present phase says: of a phase before or after, whether only the expected version answered.
func (j *Judge) Outcome() Outcome {
	switch p := j.now(); {
	case p == nil:
	case p.clean != nil:
		return p.clean.outcome
	case p.during != nil:
		return outcomeOf[p.during.conclusion.Verdict]
	case p.bake != nil:
		return outcomeOf[p.bake.conclusion.Verdict]
	}
	return Undecided
}

var outcomeOf = map[Verdict]Outcome{Promote: Pass, Reject: Fail}

// Verdict is the release's. It is Inconclusive until the evidence says otherwise.
func (j *Judge) Verdict() Verdict {
	switch {
	case j.header.Target.Alone():
		return j.verified().Verdict
	case j.during == nil:
		return Inconclusive
	case j.during.conclusion.Verdict != Promote || j.header.Plan.Bake == 0:
		return j.during.conclusion.Verdict
	case j.bake == nil:
		return Inconclusive
	}
	return j.bake.conclusion.Verdict
}

// concluded is the conclusion of the present phase, nil while there is none.
func (j *Judge) concluded() *Conclusion {
	switch p := j.now(); {
	case p == nil:
	case p.during != nil && p.during.done:
		return &p.during.conclusion
	case p.bake != nil && p.bake.done:
		return &p.bake.conclusion
	}
	return nil
}

// void takes a verdict back: it was found before it was known that what was measured had been changed. The reasons that it
// gave, if it gave any, are of that change's making.
func (c *Conclusion) void(why string) {
	if slices.Contains(c.Void, why) {
		return
	}
	*c = Conclusion{At: c.At, Void: append([]string{why}, c.Void...), Sentence: "INCONCLUSIVE: " + why + "."}
}

// Tripped says why the circuit breaker stopped the present phase's load, "" if it did not.
func (j *Judge) Tripped() string {
	switch p := j.now(); {
	case p == nil:
	case p.clean != nil:
		return p.clean.tripped
	case p.during != nil:
		return p.during.tripped
	case p.bake != nil:
		return p.bake.tripped
	}
	return ""
}

// Patience is how long after its end a window waits for its last answers (statistics.md 2.3b), before what is missing
// counts as pending: long enough for a healthy service to answer, and at most the client's timeout. Where nothing is
// judged nothing presses.
func (j *Judge) Patience() time.Duration {
	if j.header.Policy == nil {
		return j.header.Plan.Timeout
	}
	wait := time.Second
	for _, limit := range j.latencyMax() {
		wait = max(wait, time.Duration(limit))
	}
	for _, p := range j.phases {
		if t := p.Arms[j.header.Target.Baseline]; p.name == Before && t != nil {
			wait = max(wait, 2*t.Response.Quantile(0.999))
		}
	}
	return min(wait, j.header.Plan.Timeout)
}

// Look is what the checks say now.
func (j *Judge) Look() Look {
	look := Look{Checks: []Evidence{}}
	if j.during != nil {
		look.At = j.during.all.to
		for _, r := range j.during.current() {
			look.Checks = append(look.Checks, Evidence{r.check.name(), sixDigits(r.pass), sixDigits(r.fail)})
		}
	}
	return look
}

// Conclude is the verdict with its reasons, as things stand.
func (j *Judge) Conclude() Conclusion {
	c := Conclusion{Sentence: "INCONCLUSIVE: no canary was judged."}
	if j.header.Policy != nil && j.header.Target.Alone() {
		c = j.verified()
	} else if j.during != nil {
		c = j.during.conclusion
		if !j.during.done {
			c.Sentence = "INCONCLUSIVE: the run ended before a verdict."
		}
		if c.Verdict == Promote && j.header.Plan.Bake > 0 {
			c = j.baked(c)
		}
	} else if failed := j.failedBefore(); failed != nil {
		c.At = failed.end
		why := failed.clean.why
		if failed.clean.outcome == Undecided {
			why = failed.clean.undecided()
		}
		why = sentence("stage %s before the canary: %s", failed.stage, why)
		c.Sentence = "INCONCLUSIVE: " + unstopped(why) + "."
		if failed.clean.outcome == Fail || j.spent == "" { // too few because no more were allowed is no fault of the stage's
			c.Void = []string{why}
		}
	}
	if how, broken := endedBy[j.end.Reason]; broken {
		c.Sentence = strings.Replace(c.Sentence, "at the deadline", how, 1)
	} else if j.spent != "" && c.Verdict == Inconclusive && len(c.Void) == 0 {
		how := "at the limit of " + j.spent + " requests"
		if c.Sentence = strings.Replace(c.Sentence, "at the deadline", how, 1); !strings.Contains(c.Sentence, how) {
			c.Sentence = strings.Replace(c.Sentence, "INCONCLUSIVE", "INCONCLUSIVE "+how, 1)
		}
	}
	for _, p := range j.phases {
		c.Requests += p.hits
		if p.bake != nil || p.during != nil && j.bake == nil {
			break
		}
	}
	return c
}

// endedBy says how a run ended that did not reach its deadline.
var endedBy = map[string]string{"interrupted": "when it was interrupted", "error": "when the run broke off", "crashed": "when the run broke off"}

func (j *Judge) failedBefore() *phase {
	for _, p := range j.phases {
		if p.clean != nil && strings.HasPrefix(p.name, Before) && p.clean.outcome != Pass {
			return p
		}
	}
	return nil
}

// Finish says why the run ended.
func (j *Judge) Finish(e End) { j.end = e }

// Events are what happened so far.
func (j *Judge) Events() []Event { return j.events }

// Target is who is asked, and which two versions are compared.
func (j *Judge) Target() Target { return j.header.Target }

// Policy is the policy as it is applied, with what the before phase added.
func (j *Judge) Policy() Policy { return j.policy }

// Analysis is everything known so far.
func (j *Judge) Analysis() Analysis {
	a := Analysis{Header: j.header, Conclusion: j.Conclude(), Checks: []Check{}, Action: j.action,
		Events: append([]Event{}, j.events...), Notes: slices.Clone(j.notes), End: j.end}
	if j.leftOut > 1 {
		a.Notes = append(a.Notes, sentence("%s came out of order and were left out", plural(j.leftOut, "window", "windows")))
	}
	if j.header.Policy != nil {
		policy := j.policy // what is handed out stays as it is, whatever the judge learns
		a.Header.Policy = &policy
	}
	if j.during != nil {
		a.Checks = j.during.report()
		a.Notes = append(a.Notes, j.during.warnings()...)
	}
	if j.bake != nil {
		a.Checks = append(a.Checks, j.bake.report()...)
	}
	a.Phases = j.Phases()
	resent := uint64(0)
	for _, p := range a.Phases {
		resent += p.Resent
	}
	a.Notes = append(a.Notes, sentAgain(resent)...)
	for _, p := range j.phases {
		if said := p.totals.standstills.said(); said != "" && p.during == nil { // there its check says so
			a.Notes = append(a.Notes, sentence("Phase %s: %s.", p.name, said))
		}
		if p.name == Attack { // nobody else says so
			why, _ := sentences(p.totals.generator(DefaultPolicy(false).Validity))
			a.Notes = append(a.Notes, why...)
		}
		if kind, _, _ := strings.Cut(p.name, "/"); kind == After && p.clean != nil {
			a.After = p.clean.outcome
		}
	}
	a.Propagation = j.propagation()
	a.Timeline = j.Timeline()
	return a
}

// sentAgain says how many requests went out twice, where any did.
func sentAgain(n uint64) []string {
	if n == 0 {
		return nil
	}
	return []string{sentence("%s sent again on another connection: the target had closed the kept one, and answered nothing on it.",
		plural(n, "request was", "requests were"))}
}
