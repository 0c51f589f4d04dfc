package scenarios

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
	plan := &p.Story.Plan
	learn := len(v.Classify) == 0 || slices.Equal(v.Classify, []string{"learn"})
	if !learn {
		var err error
		if plan.Classify, err = attack.ParseClassifier(v.Classify); err != nil {
			return "", Preflight{fmt.Errorf("--classify: %w", err)}
		}
	}
	sample, err := attack.Probe(ctx, *plan, askKnown)
	if err != nil {
		return "", err
	}
	if !learn {
		return strings.Join(v.Classify, " "), named(sample.Answers, v.Classify)
	}
	learned, err := attack.LearnAlone(sample.Answers, v.Expect, v.Absent)
	if err != nil {
		return "", Preflight{err}
	}
	plan.Classify = learned.Classifier()
	p.Notes = append(p.Notes, learned.Where+" (--classify "+learned.Rule+")")
	return learned.Rule, nil
}
