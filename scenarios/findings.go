package scenarios

import (
	"context"
	"slices"
	"time"

	"coalmine/attack"
	"coalmine/scenarios/preflight"
	"coalmine/scenarios/stage"
)

// look judges what is known before anything is sent, and refuses what could not be judged or acted on.
func (p *Prepared) look(ctx context.Context, client *stage.Client, ref stage.Ref, t stage.Target, plan preflight.Plan) error {
	p.facts, p.plan = preflight.Read(ctx, client, ref, t, plan), plan
	p.Findings = p.facts.Judge(plan)
	if err := preflight.Blocked(p.Findings); err != nil {
		return Preflight{err}
	}
	return nil
}

// heard is what the answers that were learned from tell beside their version: how long they take.
func (p *Prepared) heard(answers []attack.Probed) {
	p.Asked += len(answers)
	for _, a := range answers {
		if a.Class == "" {
			p.took = append(p.took, a.Latency)
		}
	}
}

// Latency is the median of the answers that were learned from; 0 where there was none.
func (p *Prepared) Latency() time.Duration {
	if len(p.took) == 0 {
		return 0
	}
	slices.Sort(p.took)
	return p.took[len(p.took)/2]
}

// lookAgain judges the same facts once it is known how long an answer takes.
func (p *Prepared) lookAgain() {
	if p.plan.Latency = p.Latency(); p.plan.Latency > 0 {
		p.Findings = p.facts.Judge(p.plan)
	}
	p.Notes = append(preflight.Warnings(p.Findings), p.Notes...)
}

// flightPlan is what this story may do, for the checks before it.
func (s *Story) flightPlan(maxDuration time.Duration) preflight.Plan {
	does := func(what Action) bool {
		return slices.Contains([]Action{s.Act.Promote, s.Act.Reject, s.Act.Inconclusive}, what)
	}
	plan := preflight.Plan{
		Rate:        attack.PerSecond(s.Plan.Rate),
		Duration:    maxDuration + s.Bake,
		Connections: s.Plan.Connections,
		Header:      s.Plan.Target.Header,
		Promote:     does(Promote),
		Rollback:    does(Rollback),
		Repoint:     s.Then == Repoint,
	}
	if s.Create != nil {
		plan.Create, plan.Deploy, plan.Rollback = true, s.Create.Deploy, true
		plan.Duration += maxDuration // before the canary
	}
	return plan
}
