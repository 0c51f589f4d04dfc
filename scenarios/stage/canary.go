package stage

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/apigateway"
)

// CreateCanary sends a percentage of the stage's traffic, 0 < p <= 100, to a
// canary with these stage variable overrides. The canary shares the stage's
// deployment until DeployCanary. It refuses when the stage has a canary.
func (c *Client) CreateCanary(ctx context.Context, j *Journal, ref Ref, p float64, overrides map[string]string) (Change, error) {
	return c.perform(ctx, j, verbCreate, ref, func(before State) ([][]Operation, error) {
		if !(p > 0 && p <= 100) {
			return nil, fmt.Errorf("percent %v: not above 0 and at most 100", p)
		}
		if err := checkVariables(overrides); err != nil {
			return nil, err
		}
		if before.Canary != nil {
			return nil, fmt.Errorf("%w: %s", ErrCanaryExists, before.Canary)
		}
		// What the console sends: percent first, which makes the canary.
		ops := []Operation{replace(percentPath, percent(p)), replace(stageCachePath, "false")}
		for _, key := range keys(overrides) {
			ops = append(ops, replace(overridesPath+"/"+key, overrides[key]))
		}
		return [][]Operation{ops}, nil
	})
}

// SetPercent changes how much of the traffic the canary gets, 0 to 100: 0 is
// the fast stop that leaves the canary's settings.
func (c *Client) SetPercent(ctx context.Context, j *Journal, ref Ref, p float64) (Change, error) {
	return c.perform(ctx, j, verbPercent, ref, func(before State) ([][]Operation, error) {
		switch {
		case !(p >= 0 && p <= 100):
			return nil, fmt.Errorf("percent %v: not from 0 to 100", p)
		case before.Canary == nil:
			return nil, ErrNoCanary
		case before.Canary.Percent == p:
			return nil, nil
		}
		return [][]Operation{{replace(percentPath, percent(p))}}, nil
	})
}

// newDeployment stands for the deployment's id in an announced change.
const newDeployment = "(new deployment)"

// DeployCanary gives the canary a deployment of its own: the API as it is now.
// The deployment is made without a stage and then patched into the canary
// settings. CreateDeployment on the stage would overwrite percent and
// overrides, and cannot say zero.
func (c *Client) DeployCanary(ctx context.Context, j *Journal, ref Ref, description string) (Change, error) {
	a, _, err := c.prepare(ctx, j, verbDeploy, ref, func(before State) ([][]Operation, error) {
		if before.Canary == nil {
			return nil, ErrNoCanary
		}
		return [][]Operation{{replace(canaryDeploy, newDeployment)}}, nil
	})
	if err != nil {
		return a.result(err)
	}
	// The story's mark in the description finds the deployment again when the
	// answer with its id is lost.
	description = strings.TrimSpace(description + " " + j.last().marker())
	err = a.step(ctx, Step{Request: "CreateDeployment"}, func(ctx context.Context) (Outcome, error) {
		out, err := c.gateway.CreateDeployment(ctx, &apigateway.CreateDeploymentInput{RestApiId: &ref.API, Description: &description}, uncancelled)
		if err != nil {
			return Outcome{}, condense(err)
		}
		a.change.Created = text(out.Id)
		return Outcome{Deployment: a.change.Created}, nil
	})
	if err != nil {
		return a.result(err)
	}
	return a.result(a.patchOrUndo(ctx, [][]Operation{{replace(canaryDeploy, a.change.Created)}}))
}

// Abort takes the canary away: percent to 0 first, then the settings. The
// stage's own deployment and variables were never the canary's. Deployments
// that this story made are deleted when no stage uses them. With an expected
// canary any other refuses, with ErrChanged; its percent may be another.
func (c *Client) Abort(ctx context.Context, j *Journal, ref Ref, expect *Measured) (Change, error) {
	a, patches, err := c.prepare(ctx, j, verbAbort, ref, func(before State) ([][]Operation, error) {
		if before.Canary == nil {
			return nil, ErrNoCanary
		}
		return removing(before), expect.sameCanary(before)
	})
	if err != nil {
		return a.result(err)
	}
	if err := a.patch(ctx, patches); err != nil {
		return a.result(err)
	}
	a.tidy(ctx)
	return a.result(nil)
}

// overridden reports whether a canary differs from its stage at all.
func (s State) overridden() bool {
	return s.Canary.DeploymentID != s.DeploymentID || !maps.Equal(s.CanaryVariables(), s.Variables)
}
