package stage

import (
	"context"
	"fmt"
)

// promotion is AWS's documented promote, the console's default: no canary
// traffic, the canary's variables, the canary's deployment. On a stage without
// a canary AWS answers 200 to it and leaves a stray canary at 0 %.
var promotion = []Operation{
	replace(percentPath, "0.0"),
	{Op: "copy", From: overridesPath, Path: variablesPath},
	{Op: "copy", From: canaryDeploy, Path: deploymentPath},
}

// Promote makes the canary the stage, and then takes the canary settings away;
// kept, they stay at 0 %, and AWS refuses plain deployments to the stage until
// they are removed. A weighted alias gets its second version as its only one.
// expect is what was judged: any difference refuses, with ErrChanged. A stage
// has no compare-and-set, so a change between the reading and the patch, some
// milliseconds, cannot be excluded; it is noticed afterwards and undone.
func (c *Client) Promote(ctx context.Context, j *Journal, ref Ref, expect Measured, keepCanary bool) (Change, error) {
	a, deeds, err := c.prepare(ctx, j, verbPromote, ref, func(before *position) ([]deed, error) {
		if err := c.asJudged(ctx, ref, *before, expect); err != nil {
			return nil, err
		}
		if ref.Weighted() {
			alias, canary, err := before.canaryAlias(ref)
			return alone(alias, canary), err
		}
		if before.Canary == nil {
			return nil, ErrNoCanary
		}
		if keepCanary {
			return patch(promotion), nil
		}
		return patch(promotion, []Operation{remove(canaryPath)}), nil
	})
	if err != nil {
		return a.result(err)
	}
	a.judged = &expect
	a.precondition = func(ctx context.Context, now position) error { return c.asJudged(ctx, ref, now, expect) }
	if err := a.doOrUndo(ctx, deeds[:1]); err != nil {
		return a.result(err)
	}
	a.precondition = nil
	if len(deeds) > 1 {
		// From here the canary is production: a remove that fails is an error
		// to show, not a reason to go back.
		if err := a.do(ctx, deeds[1:]); err != nil {
			return a.result(fmt.Errorf("%w: %w", ErrPromoted, err))
		}
	}
	a.change.Notes = append(a.change.Notes, drift(a.before, a.at)...)
	return a.result(nil)
}

// asJudged refuses what is not, in every respect, what the verdict is about.
func (c *Client) asJudged(ctx context.Context, ref Ref, now position, judged Measured) error {
	if !judged.Ref.same(ref) {
		return fmt.Errorf("what was judged is another: %s", judged.Ref.thing())
	}
	var stage *State
	if !ref.Weighted() {
		stage = &now.State
	}
	is, err := c.again(ctx, judged, stage)
	if err != nil {
		return err
	}
	if diff := is.Differs(judged); len(diff) > 0 {
		return fmt.Errorf("%w: %s", ErrChanged, joined(diff))
	}
	return nil
}

// drift is what somebody who manages the stage elsewhere should hear.
func drift(before, after position) []string {
	if before.Canary == nil {
		return []string{"if CloudFormation, CDK or Terraform manages the alias, it has drifted from its template by this"}
	}
	var notes []string
	for _, key := range keys(before.Canary.Overrides) {
		if before.Variables[key] != after.Variables[key] {
			notes = append(notes, fmt.Sprintf("stage variable %s is now %q: whatever moves what it names moves stage %s", key, after.Variables[key], after.Stage))
		}
	}
	if tool, tag := Owner(after.Tags); tool != "" {
		notes = append(notes, fmt.Sprintf("stage %s, which %s manages (tag %s), has drifted from its source by this", after.Stage, tool, tag))
	}
	return notes
}
