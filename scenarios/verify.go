package scenarios

import (
	"context"
	"slices"

	"coalmine/analyze"
	"coalmine/attack"
	"coalmine/scenarios/stage"
)

// Verify is the phase after a promote alone: for a pipeline in which something else promotes.
type Verify struct {
	Plan     attack.Plan // all but classifier, versions and, with a control plane, the URL
	Policy   analyze.Policy
	Classify []string // rules, or learn; none: learn
	Expect   string   // the version that must answer alone; with a control plane by default the one behind the stage's alias
	Absent   string   // the version that may still answer until the policy's settle; "": none may
	Client   *stage.Client
	Ref      stage.Ref // with one
}

// Prepare finds which version is expected, and makes sure that the answers tell.
func (v Verify) Prepare(ctx context.Context, where, tool string) (*Prepared, error) {
	p := &Prepared{Story: &Story{Plan: v.Plan, Policy: v.Policy.Complete(1), Alone: true}}
	t := analyze.Target{Where: where, Percent: 100}
	if v.Client != nil {
		live, err := v.Client.Resolve(ctx, v.Ref)
		if err != nil {
			return nil, Misnamed(err)
		}
		p.Story.Plan.Path = v.Ref.Path
		p.Story.Control = &Control{Client: v.Client, Ref: v.Ref}
		p.Story.Plan.Target.URL = orElse(v.Plan.Target.URL, live.InvokeURL)
		v.Expect = orElse(v.Expect, live.BaselineVersion)
		t.API, t.Stage, t.Covers = v.Ref.API, Splitter(v.Ref), covered(live, v.Ref, v.Plan.Targets)
	}
	if v.Expect == "" || v.Expect == v.Absent {
		return nil, refusal("expect %q, absent %q: want the version that must answer, and another or none", v.Expect, v.Absent)
	}
	plan := &p.Story.Plan
	plan.Baseline, plan.Canary = v.Absent, v.Expect
	var err error
	if t.Classify, err = v.classifier(ctx, p); err != nil {
		return nil, err
	}
	p.Header, err = header(tool, "verify", p.Story.Policy, p.Story, t, nil)
	return p, err
}

// classifier sets the plan's and tries it.
func (v Verify) classifier(ctx context.Context, p *Prepared) (string, error) {
	if len(v.Classify) > 0 && !slices.Equal(v.Classify, []string{"learn"}) {
		return p.given(ctx, v.Classify)
	}
	sample, err := attack.Probe(ctx, p.Story.Plan, askKnown)
	if err != nil {
		return "", err
	}
	return p.learned(attack.LearnAlone(sample.Answers, v.Expect, v.Absent))
}
