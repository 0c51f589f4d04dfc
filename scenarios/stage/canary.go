package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/apigateway"
)

// CreateCanary sends a percentage of the stage's traffic, 0 < p <= 100, to a
// canary with these stage variable overrides. The canary shares the stage's
// deployment until DeployCanary. It refuses when the stage has a canary, and when
// the overrides lead a method of the API to an alias that is not there or that
// the API may not invoke.
func (c *Client) CreateCanary(ctx context.Context, j *Journal, ref Ref, p float64, overrides map[string]string) (Change, error) {
	var notes []string
	change, err := c.perform(ctx, j, verbCreate, ref, func(before *position) (_ []deed, err error) {
		if err := unweighted(ref, "give a version of its function a weight (aws lambda update-alias --routing-config)"); err != nil {
			return nil, err
		}
		if !(p > 0 && p <= 100) {
			return nil, fmt.Errorf("percent %v: not above 0 and at most 100", p)
		}
		if err := checkVariables(overrides); err != nil {
			return nil, err
		}
		if before.Canary != nil {
			return nil, fmt.Errorf("%w: %s", ErrCanaryExists, before.Canary)
		}
		if notes, err = c.leadSomewhere(ctx, before.State, overrides); err != nil {
			return nil, err
		}
		// What the console sends: percent first, which makes the canary.
		ops := []Operation{replace(percentPath, percent(p)), replace(stageCachePath, "false")}
		for _, key := range keys(overrides) {
			ops = append(ops, replace(overridesPath+"/"+key, overrides[key]))
		}
		return patch(ops), nil
	})
	change.Notes = append(change.Notes, notes...)
	return change, err
}

// SetPercent changes how much of the traffic the canary gets, 0 to 100: 0 is
// the fast stop that leaves the canary's settings.
func (c *Client) SetPercent(ctx context.Context, j *Journal, ref Ref, p float64) (Change, error) {
	return c.perform(ctx, j, verbPercent, ref, func(before *position) ([]deed, error) {
		switch {
		case !(p >= 0 && p <= 100):
			return nil, fmt.Errorf("percent %v: not from 0 to 100", p)
		case ref.Weighted():
			return weigh(before, ref, p)
		case before.Canary == nil:
			return nil, ErrNoCanary
		case before.Canary.Percent == p:
			return nil, nil
		}
		return patch([]Operation{replace(percentPath, percent(p))}), nil
	})
}

// newDeployment stands for the deployment's id in an announced change.
const newDeployment = "(new deployment)"

// DeployCanary gives the canary a deployment of its own: the API as it is now.
// The deployment is made without a stage and then patched into the canary
// settings. CreateDeployment on the stage would overwrite percent and
// overrides, and cannot say zero.
func (c *Client) DeployCanary(ctx context.Context, j *Journal, ref Ref, description string) (Change, error) {
	a, _, err := c.prepare(ctx, j, verbDeploy, ref, func(before *position) ([]deed, error) {
		if err := unweighted(ref, "it has no deployment"); err != nil {
			return nil, err
		}
		if before.Canary == nil {
			return nil, ErrNoCanary
		}
		return patch([]Operation{replace(canaryDeploy, newDeployment)}), nil
	})
	if err != nil {
		return a.result(err)
	}
	// The story's mark in the description finds the deployment again when the
	// answer with its id is lost.
	description = strings.TrimSpace(description + " " + j.last().marker())
	before, err := a.deployments(ctx)
	if err != nil {
		return a.result(err)
	}
	err = a.step(ctx, Step{Request: "CreateDeployment"}, func(ctx context.Context) (Outcome, error) {
		return a.createDeployment(ctx, description, before)
	})
	if err != nil {
		return a.result(err)
	}
	return a.result(a.doOrUndo(ctx, patch([]Operation{replace(canaryDeploy, a.change.Created)})))
}

// createDeployment looks, before it asks again and in the end, for what an attempt has made whose answer was lost.
func (a *act) createDeployment(ctx context.Context, description string, before []string) (Outcome, error) {
	api := a.change.Ref.API
	found := func() bool {
		ids, err := a.c.deploymentsOf(ctx, api, *a.j.current())
		i := slices.IndexFunc(ids, func(id string) bool { return !slices.Contains(before, id) })
		if err == nil && i >= 0 {
			a.change.Created = ids[i]
		}
		return err != nil || i >= 0 // not to be asked for again
	}
	unsure, err := repeat(ctx, deployer(a.c.config.Retryer()), func() error {
		out, err := a.c.gateway.CreateDeployment(ctx, &apigateway.CreateDeploymentInput{RestApiId: &api, Description: &description}, finished, once)
		if err == nil {
			a.change.Created = text(out.Id)
		}
		return err
	}, func(unsure bool) bool { return !unsure || !found() })
	if err != nil && unsure && a.change.Created == "" {
		found()
	}
	if a.change.Created != "" {
		return Outcome{Deployment: a.change.Created}, nil
	}
	return Outcome{Refused: !unsure}, condense(err)
}

// deployments are those that the story has made already.
func (a *act) deployments(ctx context.Context) ([]string, error) {
	if story := a.j.current(); story.made() {
		return a.c.deploymentsOf(ctx, a.change.Ref.API, *story)
	}
	return nil, nil
}

// Abort takes the canary away: percent to 0 first, then the settings. The
// stage's own deployment and variables were never the canary's. Deployments
// that this story made are deleted when no stage uses them, and so is the
// canary's, if the journal says that an earlier one made it for a canary. A weighted alias
// loses its second version at once. With an expected canary any other refuses,
// with ErrChanged; its percent may be another. Without one, so does a canary
// that the story under way cannot have left; between stories any canary goes.
func (c *Client) Abort(ctx context.Context, j *Journal, ref Ref, expect *Measured) (Change, error) {
	expected := expect.sameCanary
	if story := j.current(); expect == nil {
		expected = func(now position) error { return story.leftCanary(ref, now) }
	}
	a, deeds, err := c.prepare(ctx, j, verbAbort, ref, func(before *position) ([]deed, error) {
		if ref.Weighted() {
			alias, _, err := before.canaryAlias(ref)
			if err == nil {
				err = expected(*before)
			}
			return alone(alias, alias.Version), err
		}
		if before.Canary == nil {
			return nil, ErrNoCanary
		}
		return patch(removing(before.State)...), expected(*before)
	})
	if err != nil {
		return a.result(err)
	}
	err = a.do(ctx, deeds)
	var met *overtaken
	if errors.As(err, &met) && met.removed {
		err = a.undo(ctx, err)
	}
	if err != nil {
		return a.result(err)
	}
	if ref.Weighted() {
		return a.result(nil)
	}
	canarys, left := j.discardable(a.before.State)
	a.tidy(ctx, canarys...)
	if left != "" {
		a.change.Notes = append(a.change.Notes, left)
	}
	return a.result(nil)
}
