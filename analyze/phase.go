package analyze

import (
	"maps"
	"slices"
	"time"

	"coalmine/analyze/sequential"
	"coalmine/attack"
)

// phase is one stretch of traffic; what judges it depends on its kind.
type phase struct {
	name, stage, expect string
	begin, end          time.Duration
	totals                     // of all its windows
	clean               *clean // before and after
	during              *during
	bake                *bake
	sampled             bool // for the timeline, for the last time
}

// Phases are what each stretch of traffic showed so far.
func (j *Judge) Phases() []Phase {
	all := make([]Phase, 0, len(j.phases))
	for _, p := range j.phases {
		all = append(all, j.phaseReport(p))
	}
	return all
}

func (j *Judge) phaseReport(p *phase) Phase {
	shown := p.shown()
	// A window counts what was sent until it was sealed; what has been answered later was sent, too.
	out := Phase{Name: p.name, Stage: p.stage, Expect: p.expect, Start: p.begin, Length: p.totals.to - p.totals.from,
		Due: p.due, Sent: max(p.sent, p.hits), Hits: p.hits, Pending: p.totals.pending, Resent: p.totals.resent,
		Arms: j.arms(p, shown), Targets: j.targets(p, shown), Lateness: lateness(shown)}
	switch {
	case p.clean != nil:
		out.Outcome, out.Sentence = p.clean.outcome, p.clean.why
		if out.Outcome == Undecided {
			out.Sentence = capital(p.clean.undecided()) + "."
		}
	case p.during != nil:
		out.Outcome = outcomeOf[p.during.conclusion.Verdict]
		if skipped := p.during.skipped.hits; skipped > 0 && shown == &p.during.judged {
			out.Sentence = sentence("The first %s (%s) are not counted here: the change was on its way, and the versions were warming up.",
				Short(p.during.judged.from-p.begin), plural(skipped, "answer", "answers"))
		}
	case p.bake != nil:
		out.Outcome, out.Sentence = outcomeOf[p.bake.conclusion.Verdict], p.bake.conclusion.Sentence
	}
	return out
}

// shown is what of the phase is reported: of during what was judged, unless nothing was.
func (p *phase) shown() *totals {
	switch {
	case p.during == nil:
		return &p.totals
	case p.during.judged.hits == 0:
		return &p.during.skipped
	}
	return &p.during.judged
}

func lateness(t *totals) Lateness {
	return Lateness{WakeP50: t.wake.Quantile(0.5), WakeP99: t.wake.Quantile(0.99), Blocked: t.blocked.Total(), BlockedP99: t.blocked.Quantile(0.99)}
}

// arms are the versions that were expected, then others that answered, then those that named none.
func (j *Judge) arms(p *phase, t *totals) []Arm {
	target := j.header.Target
	names := []string{}
	for _, name := range []string{target.Baseline, target.Canary, p.expect} {
		expected := name == p.expect || p.during != nil || t.Arms[name] != nil
		if name != "" && expected && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.Arms)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	var arms []Arm
	for _, name := range names {
		tally := t.Arms[name]
		if tally == nil {
			tally = &attack.Tally{}
		}
		arm := j.armReport(tally, t.hits)
		arm.Name, arm.Role = name, role(name, p.expect, target)
		if p.during != nil {
			switch arm.Role {
			case "baseline":
				share := 1 - target.Share()
				arm.Configured = &share
			case "canary":
				share := target.Share()
				arm.Configured = &share
			}
		}
		arms = append(arms, arm)
	}
	if len(t.Unattributed) > 0 {
		sum := &attack.Tally{}
		causes := map[string]uint64{}
		for _, cause := range slices.Sorted(maps.Keys(t.Unattributed)) {
			sum.Merge(t.Unattributed[cause])
			causes[string(cause)] = t.Unattributed[cause].Hits
		}
		arm := j.armReport(sum, t.hits)
		arm.Name, arm.Role, arm.Causes = "unattributed", "unattributed", causes
		arms = append(arms, arm)
	}
	return arms
}

func role(name, expect string, t Target) string {
	switch name {
	case t.Baseline:
		return "baseline"
	case t.Canary:
		return "canary"
	case expect:
		return "expected"
	}
	if t.Baseline == "" {
		return "version"
	}
	return "foreign"
}

func (j *Judge) armReport(t *attack.Tally, all uint64) Arm {
	arm := Arm{Hits: t.Hits, Errors: t.Failed(), First: t.First, Last: t.Last,
		P50: t.Response.Quantile(0.5), P95: t.Response.Quantile(0.95), P99: t.Response.Quantile(0.99), ServiceP50: t.Service.Quantile(0.5)}
	if all > 0 {
		arm.Share = float64(t.Hits) / float64(all)
		alpha := 0.05
		if j.header.Policy != nil {
			alpha = j.policy.Alpha
		}
		if sequence, err := sequential.NewBetaSequence(0.5, 0.5); err == nil {
			arm.ShareLow, arm.ShareHigh = sequence.Interval(t.Hits, all, alpha)
		}
	}
	for class, n := range t.Errors {
		if arm.Classes == nil {
			arm.Classes = map[string]uint64{}
		}
		arm.Classes[string(class)] = n
	}
	return arm
}

func (j *Judge) propagation() Propagation {
	var out Propagation
	for _, e := range j.events {
		at := e.At
		switch e.Name {
		case CanaryCreated:
			out.Changed = &at
		case CanaryDeployed:
			out.Deployed = &at
		}
	}
	if d := j.during; d != nil {
		if t := d.all.Arms[j.header.Target.Canary]; t != nil {
			first := t.First
			out.FirstCanary = &first
		}
		window := func(index int64) *time.Duration {
			if index < 0 {
				return nil
			}
			at := time.Duration(index) * attack.WindowLength
			return &at
		}
		out.Armed = window(d.arming.armed)
		out.Unsettled = d.arming.armed < 0 && d.arming.looked && d.arming.start >= 0
		if d.judged.hits > 0 {
			from := d.judged.from
			out.Judged = &from
			out.Excluded = d.skipped.hits
		}
	}
	out.Acted = j.acted
	if p := j.now(); p != nil && p.clean != nil && p.clean.absent != "" {
		if t := p.Arms[p.clean.absent]; t != nil {
			last := t.Last
			out.Straggler = &last
		}
	}
	return out
}
