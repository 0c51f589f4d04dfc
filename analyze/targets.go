package analyze

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"coalmine/analyze/sequential"
	"coalmine/attack"
)

// A load on several targets is judged as a whole, and each target once more on its own, for failing only: an endpoint
// with a hundredth of the load may be dead without anything being out of bounds in all. To pass stays a question about
// the whole, for a small endpoint's few answers would prove its bounds to nobody within any budget.
//
// The levels. In the FAIL rule, a weighted mean, each check that is asked again of the targets keeps half its weight,
// and they share the other half equally. That is the union bound, and stays an e-process whatever depends on what: a
// release that keeps its bounds, in all and on each target, is rejected with probability beta at most. It costs the whole log 2
// of evidence, and each of N targets log 2N; of one target alone nothing.
const targetsPart = 0.5

// inTargets are the groups whose checks are asked again of each target: what compares the arms, and the stage's errors,
// for what crashes names no version. An arm's absolute bounds are not: a target that is slow or fails by its nature may
// exceed them and always has.
var inTargets = [groups]bool{relativeErrors: true, relativeLatency: true, stageErrors: true}

// LoadTarget is one of several targets.
type LoadTarget struct {
	Name  string  `json:"name"`
	Share float64 `json:"share"` // of the load, 0 to 1
}

// checkTargets refuses what cannot be judged in parts.
func checkTargets(targets []LoadTarget) error {
	names := map[string]bool{}
	for _, t := range targets {
		if t.Name == "" || names[t.Name] {
			return fmt.Errorf("target %q: want each target once, by its name", t.Name)
		}
		names[t.Name] = true
	}
	if len(targets) > attack.MaxTallies {
		return fmt.Errorf("%d targets: want at most %d", len(targets), attack.MaxTallies)
	}
	return nil
}

// targetPart is what a phase knows of one target.
type targetPart struct {
	name     string
	stage    *wholeStage
	evidence func() evidence
	sound    func() bool // the baseline's own errors on the target do not speak against it
}

func newTargetPart(name string, limit float64, horizon int, l sequential.Levels) (*targetPart, error) {
	test, err := sequential.NewStageErrors(limit, l, horizon)
	if err != nil {
		return nil, err
	}
	return &targetPart{name: name, stage: &wholeStage{test: test, horizon: horizon, limit: limit, by: map[string]uint64{}}}, nil
}

// add counts the target's part of a window, late answers included.
func (p *targetPart) add(w *attack.Window) {
	part := attack.Window{Index: w.Index}
	if own := w.Targets[p.name]; own != nil {
		part.Answers, part.Hits = own.Answers, answered(own.Answers)
		part.Pending = own.Due - min(part.Hits, own.Due)
	}
	p.stage.add(&part)
}

func (p *targetPart) late(l attack.Late) {
	if own := l.Targets[p.name]; own != nil {
		p.stage.late(attack.Late{Index: l.Index, Answers: own.Answers})
	}
}

// inTarget asks of one target, to fail, what a check asks of all.
type inTarget struct {
	check
	part *targetPart
}

func (c inTarget) name() string { return c.check.name() + " " + c.part.name }
func (c inTarget) passes() bool { return false }

func (c inTarget) look(*evidence) (pass, fail float64) {
	e := c.part.evidence()
	_, fail = c.check.look(&e)
	return 0, fail
}

func (c inTarget) atMost(*evidence) (pass, fail float64) {
	e := c.part.evidence()
	if search, ok := c.check.(searching); ok {
		_, fail = search.atMost(&e)
	} else {
		_, fail = c.check.look(&e)
	}
	return 0, fail
}

func (c inTarget) explain(_ *evidence, o Outcome, r reading) Check {
	e := c.part.evidence()
	r.check = c.check
	out := c.check.explain(&e, o, r)
	out.Target = c.part.name
	if o != Fail {
		out.Proven = Interval{} // a bound that nothing is asked of
	}
	out.Sentence = c.part.name + ": " + out.Sentence
	return out
}

// targetsFrom makes the parts, with the checks that are judged from the first change on.
func (d *during) targetsFrom(targets []LoadTarget) error {
	for _, t := range targets {
		p, err := newTargetPart(t.Name, d.stage.limit, d.stage.horizon, d.levels)
		if err != nil {
			return err
		}
		p.evidence = func() evidence { return d.evidenceOf(d.judged.part(t.Name)) }
		p.sound = func() bool { return d.soundIn(d.all.part(t.Name)) }
		d.targets = append(d.targets, p)
		d.checks = append(d.checks, inTarget{p.stage, p})
	}
	return nil
}

// targetsFrom makes the parts with all their checks: was is the baseline's part of the during phase.
func (b *bake) targetsFrom(targets []LoadTarget, l sequential.Levels) error {
	for _, t := range targets {
		p, err := newTargetPart(t.Name, b.stage.limit, b.stage.horizon, l)
		if err != nil {
			return err
		}
		p.evidence = func() evidence { return b.evidenceOf(b.all.part(t.Name)) }
		b.targets = append(b.targets, p)
		was := b.during.judged.part(t.Name).evidence(b.target.Baseline, "")
		checks, err := b.compared(was, b.during.knownOf(t.Name), l)
		if err != nil {
			return err
		}
		for _, c := range append(checks, bakedStage{p.stage}) {
			b.checks = append(b.checks, inTarget{c, p})
		}
	}
	return nil
}

// armTargets makes the checks that count from the start of judging.
func (d *during) armTargets(keep func(check, error)) {
	p := d.policy
	for _, part := range d.targets {
		difference, err := sequential.NewDifference(d.target.Share(), p.Errors.Margin/100, nil, d.levels)
		keep(inTarget{errorDifference{difference, p.Errors.Margin / 100}, part}, err)
		for _, q := range p.sortedMargin() {
			c, err := newLatencyDifference(q, p.Latency.Margin[q], d.knownOf(part.name), d.levels)
			keep(inTarget{c, part}, err)
		}
	}
}

// knownOf are the baseline's response times on a target that no check counts.
func (d *during) knownOf(name string) attack.Histogram {
	from := d.before
	if from == nil {
		from = &d.skipped
	}
	if t := from.part(name).Arms[d.target.Baseline]; t != nil {
		return t.Response
	}
	return nil
}

// failing says by whose errors a phase fails, all answers' or one target's, "" if by nobody's: the weighted mean again.
func (c *clean) failing(e *evidence, toFail float64) (why string) {
	if !c.healthy {
		return ""
	}
	part := targetsPart
	if len(c.targets) == 0 {
		part = 0
	}
	var logs, weights []float64
	most := math.Inf(-1)
	ask := func(where string, e *evidence, weight float64) {
		k := e.baseline.errors + e.errors
		logE := c.errors.Fail(k, e.all())
		logs, weights = append(logs, logE), append(weights, weight)
		if logE += math.Log(weight); logE > most {
			most = logE
			why = sentence("%s%s of %s answers are errors, allowed %s.", where, Count(k), Count(e.all()-e.pending), Share(float64(c.policy.Errors.Max)))
		}
	}
	ask("", e, 1-part)
	for _, t := range c.targets {
		own := c.part(t.Name).evidence(c.expect, "")
		ask("on "+t.Name+" ", &own, part/float64(len(c.targets)))
	}
	if sequential.LogWeightedMean(logs, weights) < toFail {
		return ""
	}
	return why
}

// unheard are the targets on which even a dead canary would have gone unnoticed.
func (d *during) unheard() (names []string) {
	toFail := -math.Log(d.policy.Beta)
	for _, r := range d.current() {
		c, ok := r.check.(inTarget)
		if !ok {
			continue
		}
		if difference, ok := c.check.(errorDifference); ok {
			e := c.part.evidence()
			dead := difference.test.Fail(e.baseline.errors, e.baseline.hits, e.canary.hits, e.canary.hits)
			if dead+math.Log(r.weight) < toFail {
				names = append(names, c.part.name)
			}
		}
	}
	return names
}

// part is a target's totals; there are none where it had no hit.
func (t *totals) part(name string) *totals {
	if p := t.parts[name]; p != nil {
		return p
	}
	return &totals{}
}

func (t *totals) addParts(parts map[string]*attack.Part) {
	for name, part := range parts {
		if t.parts == nil {
			t.parts = map[string]*totals{}
		}
		own := t.parts[name]
		if own == nil {
			own = &totals{bare: t.bare}
			t.parts[name] = own
		}
		n := answered(part.Answers)
		own.due += part.Due
		own.hits += n
		own.pending += part.Due
		own.pending -= min(n, own.pending)
		own.count(part.Answers)
		own.untimed.move(part.Answers, int64(part.Due)-int64(n), 1)
	}
}

// contradictoryParts names what parts of a window cannot be like: they are made of the window's own hits, each in one.
func contradictoryParts(whole attack.Answers, due uint64, parts map[string]*attack.Part) string {
	if len(parts) == 0 {
		return ""
	}
	var sum attack.Answers
	var dues uint64
	for _, part := range parts {
		if part == nil || part.Due > most || len(part.IDs) > 0 || part.BeyondIDs > 0 || !plausible(part.Answers) {
			return "a target's part of it is none"
		}
		if due > 0 && answered(part.Answers) > part.Due {
			return "a target has more answers than were due"
		}
		dues += part.Due
		for version, t := range part.Arms {
			count(&sum.Arms, version, t)
		}
		for cause, t := range part.Unattributed {
			count(&sum.Unattributed, cause, t)
		}
	}
	if dues != due || !sameCounts(sum.Arms, whole.Arms) || !sameCounts(sum.Unattributed, whole.Unattributed) {
		return "its targets do not add up to it"
	}
	return ""
}

func sameCounts[K comparable](a, b map[K]*attack.Tally) bool {
	count := func(m map[K]*attack.Tally, key K) (hits, failed uint64) {
		if t := m[key]; t != nil {
			hits, failed = t.Hits, t.Failed()
		}
		return hits, failed
	}
	for _, m := range []map[K]*attack.Tally{a, b} {
		for key := range m {
			hitsA, failedA := count(a, key)
			if hitsB, failedB := count(b, key); hitsA != hitsB || failedA != failedB {
				return false
			}
		}
	}
	return true
}

// targets are what a phase's targets showed, in the order of the plan.
func (j *Judge) targets(p *phase, t *totals) (out []TargetReport) {
	names := []string{}
	for _, target := range j.header.Plan.Targets {
		names = append(names, target.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(t.parts)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		part := t.part(name)
		out = append(out, TargetReport{Name: name, Due: part.due, Hits: part.hits, Pending: part.pending, Arms: j.arms(p, part)})
	}
	return out
}
