package stage

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/apigateway"
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
// they are removed. expect is what was judged: any difference refuses, with
// ErrChanged. A stage has no compare-and-set, so a change between the reading
// and the patch, some milliseconds, cannot be excluded; it is noticed
// afterwards and undone.
func (c *Client) Promote(ctx context.Context, j *Journal, ref Ref, expect Measured, keepCanary bool) (Change, error) {
	a, patches, err := c.prepare(ctx, j, verbPromote, ref, func(before State) ([][]Operation, error) {
		if !expect.Ref.same(ref) {
			return nil, fmt.Errorf("what was judged is another stage: API %s, stage %s", expect.Ref.API, expect.Ref.Stage)
		}
		if expect.Stage == nil || expect.Stage.Canary == nil {
			return nil, ErrNoCanary
		}
		now, err := c.again(ctx, expect, &before)
		if err != nil {
			return nil, err
		}
		if diff := now.Differs(expect); len(diff) > 0 {
			return nil, fmt.Errorf("%w: %s", ErrChanged, joined(diff))
		}
		if keepCanary {
			return [][]Operation{promotion}, nil
		}
		return [][]Operation{promotion, {remove(canaryPath)}}, nil
	})
	if err != nil {
		return a.result(err)
	}
	if err := a.patchOrUndo(ctx, patches[:1]); err != nil {
		return a.result(err)
	}
	if !keepCanary {
		// From here the canary is production: a remove that fails is an error
		// to show, not a reason to go back.
		if err := a.patch(ctx, patches[1:]); err != nil {
			return a.result(fmt.Errorf("promoted, but its settings are left at 0%%: %w", err))
		}
	}
	a.change.Notes = append(a.change.Notes, drift(a.change.Before, a.state)...)
	return a.result(nil)
}

// drift is what somebody who manages the stage elsewhere should hear.
func drift(before, after State) []string {
	var notes []string
	for _, key := range keys(before.Canary.Overrides) {
		if before.Variables[key] != after.Variables[key] {
			notes = append(notes, fmt.Sprintf("stage variable %s is now %q: whatever moves what it names moves stage %s", key, after.Variables[key], after.Stage))
		}
	}
	return append(notes, "a stage managed by CloudFormation, CDK or Terraform has drifted from its template by this")
}

// Rollback undoes a promote: no canary, and the deployment and variables of
// the stage as it was, which Journal.BeforePromote knows. The canary that was
// promoted does not come back.
func (c *Client) Rollback(ctx context.Context, j *Journal, ref Ref, to State) (Change, error) {
	to = to.clone()
	to.Canary = nil
	return c.goBack(ctx, j, verbRollback, ref, to)
}

// Restore makes the stage exactly what it was, canary included, whatever it is
// now. Without a difference nothing is sent.
func (c *Client) Restore(ctx context.Context, j *Journal, ref Ref, to State) (Change, error) {
	return c.goBack(ctx, j, verbRestore, ref, to)
}

func (c *Client) goBack(ctx context.Context, j *Journal, verb string, ref Ref, to State) (Change, error) {
	a, patches, err := c.prepare(ctx, j, verb, ref, func(before State) ([][]Operation, error) {
		if to.API != ref.API || to.Stage != ref.Stage {
			return nil, fmt.Errorf("what to go back to is another stage: API %s, stage %s", to.API, to.Stage)
		}
		return restoring(before, to), c.deployed(ctx, before, to)
	})
	if err != nil {
		return a.result(err)
	}
	if err := a.patch(ctx, patches); err != nil {
		return a.result(err)
	}
	if len(patches) > 0 && a.state.CacheEnabled {
		a.flush(ctx)
	}
	a.tidy(ctx)
	return a.result(nil)
}

// deployed refuses to start back to a deployment that is gone: halfway, the
// canary would be removed and the stage still wrong.
func (c *Client) deployed(ctx context.Context, now, to State) error {
	ids := []string{to.DeploymentID}
	if to.Canary != nil {
		ids = append(ids, to.Canary.DeploymentID)
	}
	for _, id := range slices.Compact(ids) {
		if id == now.DeploymentID {
			continue
		}
		_, err := c.gateway.GetDeployment(ctx, &apigateway.GetDeploymentInput{RestApiId: &to.API, DeploymentId: &id})
		if err != nil {
			return fmt.Errorf("deployment %s: %w", id, condense(err))
		}
	}
	return nil
}

// flush empties the stage's cache, which holds answers of the release that was
// taken back.
func (a *act) flush(ctx context.Context) {
	ref := a.change.Ref
	err := a.step(ctx, Step{Request: "FlushStageCache"}, func(ctx context.Context) (Outcome, error) {
		_, err := a.c.gateway.FlushStageCache(ctx, &apigateway.FlushStageCacheInput{RestApiId: &ref.API, StageName: &ref.Stage}, uncancelled)
		return Outcome{}, condense(err)
	})
	if err != nil {
		a.change.Notes = append(a.change.Notes, "the stage's cache is not flushed: "+err.Error())
	}
}
