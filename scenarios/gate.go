package scenarios

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"time"

	"coalmine/analyze"
	"coalmine/attack"
	"coalmine/scenarios/stage"
)

// Gate is the judging of a canary that is live already.
type Gate struct {
	Plan     attack.Plan // all but classifier, versions and, with a control plane, the URL
	Policy   analyze.Policy
	Classify []string // rules, or learn; none with a control plane: learn
	Baseline string   // as the answers spell it; with a control plane it only renames
	Canary   string
	Percent  float64 // without a control plane
	Client   *stage.Client
	Ref      stage.Ref // with one
	Act      Act
	Bake     time.Duration // before a promote
	Then     Then          // after it
	Keep     bool          // the canary's settings, at 0 %, after a promote
}

// Prepare reads the live canary, and makes sure that its answers can be told apart. What was found out so far comes with a
// Preflight, too, if it was the findings.
func (g Gate) Prepare(ctx context.Context, where, tool string) (*Prepared, error) {
	p := &Prepared{Story: &Story{Plan: g.Plan, Act: g.Act, Bake: g.Bake, Then: g.Then, Keep: g.Keep}}
	t := analyze.Target{Where: where, Percent: g.Percent}
	var state any
	if g.Bake > 0 && g.Act.Promote != Promote {
		return nil, refusal("bake: it comes before a promote, which was not asked for")
	}
	if err := g.Policy.ValidateBake(g.Bake, attack.PerSecond(g.Plan.Rate)); err != nil {
		return nil, Preflight{err}
	}
	if g.Client != nil {
		if err := way(ctx, g.Client, &g.Ref, g.Plan.Target.URL); err != nil {
			return nil, err
		}
		p.Story.Plan.Path = g.Ref.Path
		if g.Act.Promote == Promote {
			if err := g.Then.Said(g.Client, g.Ref); err != nil {
				return nil, err
			}
		}
		live, err := g.live(ctx, p)
		p.Target = live
		if p.Findings != nil && err != nil {
			p.Header.Target = g.names(t, live)
			return p, err
		}
		if err != nil {
			return nil, err
		}
		if err := g.swapped(live); err != nil {
			return nil, err
		}
		p.Story.Control = &Control{Client: g.Client, Ref: g.Ref}
		if p.Story.Control.Live, err = g.Client.Measure(ctx, g.Ref); err != nil {
			return nil, err
		}
		state = p.Story.Control.Live
		if !g.Ref.Weighted() {
			p.Story.Control.Live.Stage = &live.State // what is judged is what was resolved
			state = live.State
		}
		p.Story.Plan.Target.URL = orElse(g.Plan.Target.URL, live.InvokeURL)
		t = g.names(t, live)
		g.Baseline, g.Canary = t.Baseline, t.Canary
	}
	if g.Baseline == g.Canary {
		return nil, refusal("baseline and canary are both %q: want two versions", g.Baseline)
	}
	policy := g.Policy.Complete(t.Share())
	if err := policy.Validate(t.Share()); err != nil {
		return nil, Preflight{err}
	}
	p.Story.Policy = policy
	p.Story.Plan.Baseline, p.Story.Plan.Canary = g.Baseline, g.Canary
	var err error
	if t.Classify, err = g.classifier(ctx, p); err != nil {
		return nil, err
	}
	p.Story.Plan.Classify = byAlias(p.Story.Plan, p.Target)
	p.lookAgain()
	p.Header, err = header(tool, "gate", policy, p.Story, t, state)
	return p, err
}

// names is the target with what the control plane says of it.
func (g Gate) names(t analyze.Target, live stage.Target) analyze.Target {
	t.Method, t.URL = g.Plan.Target.Method, Bare(orElse(g.Plan.Target.URL, live.InvokeURL))
	t.Baseline, t.Canary = orElse(g.Baseline, live.BaselineVersion), orElse(g.Canary, live.CanaryVersion)
	t.API, t.Stage, t.Percent = g.Ref.API, g.Ref.Stage, points(live.Share)
	if canary := live.State.Canary; canary != nil {
		t.Percent = canary.Percent
	}
	t.Covers = covered(live, g.Ref, g.Plan.Targets)
	return t
}

// swapped refuses names that AWS gives to the other arm. Other names than AWS's only rename.
func (g Gate) swapped(live stage.Target) error {
	if live.Function != live.CanaryFunction || live.BaselineVersion == live.CanaryVersion {
		return nil // a version's number names two things
	}
	switch {
	case g.Canary != "" && g.Canary == live.BaselineVersion && g.Baseline != live.BaselineVersion:
		return refusal("--canary %s: by AWS that is the baseline of %s, and its canary is version %s: want --canary %s, or none",
			g.Canary, splitter(g.Ref), live.CanaryVersion, live.CanaryVersion)
	case g.Baseline != "" && g.Baseline == live.CanaryVersion && g.Canary != live.CanaryVersion:
		return refusal("--baseline %s: by AWS that is the canary of %s, and its baseline is version %s: want --baseline %s, or none",
			g.Baseline, splitter(g.Ref), live.BaselineVersion, live.BaselineVersion)
	}
	return nil
}

// way takes the path under test from the URL where only that is given: behind the base path of its custom domain.
func way(ctx context.Context, client *stage.Client, ref *stage.Ref, to string) error {
	if ref.Weighted() || ref.Path != "" {
		return nil
	}
	r, err := client.Route(ctx, to)
	ref.Path = r.Path
	switch {
	case err != nil:
		return Misnamed(err)
	case r.API == "":
		return refusal("endpoint: no base path mapping of %s takes the path of %s", r.Domain, Bare(to))
	}
	return nil
}

func (g Gate) live(ctx context.Context, p *Prepared) (stage.Target, error) {
	t, err := g.Client.Resolve(ctx, g.Ref)
	if err != nil {
		return t, Misnamed(err)
	}
	plan := p.Story.flightPlan(time.Duration(g.Policy.MaxDuration))
	plan.Labels = g.Baseline != "" && g.Canary != ""
	if to := g.Plan.Target.URL; to != t.InvokeURL {
		plan.URL = to
	}
	return t, p.look(ctx, g.Client, g.Ref, t, plan)
}

// classifier sets the plan's and tries it.
func (g Gate) classifier(ctx context.Context, p *Prepared) (string, error) {
	learn := len(g.Classify) == 0 || slices.Equal(g.Classify, []string{"learn"})
	switch {
	case !learn && slices.Contains(g.Classify, "learn"):
		return "", refusal("--classify: learn wants to be alone, got %q", g.Classify)
	case !learn:
		return p.given(ctx, g.Classify)
	}
	sample, err := attack.Probe(ctx, p.Story.Plan, askMixed)
	if err != nil {
		return "", err
	}
	p.heard(sample.Answers)
	return p.learned(attack.LearnMixed(sample.Answers, g.Baseline, g.Canary))
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// Bare is a URL without what may be secret: no user, no query.
func Bare(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(unreadable URL)"
	}
	return fmt.Sprintf("%s://%s%s", u.Scheme, u.Host, u.EscapedPath())
}
