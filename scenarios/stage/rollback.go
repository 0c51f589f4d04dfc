package stage

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/apigateway"
)

// Rollback undoes a promote, and a repoint after it: no canary, the deployment
// and variables of the stage as it was, which Journal.BeforePromote knows, and
// the aliases where the journal says they were. The canary that was promoted
// does not come back. It refuses, with ErrChanged, when stage or aliases are not
// where the promote, and what coalmine did since, can have left them: what
// somebody else has released since is not a rollback's to take away.
func (c *Client) Rollback(ctx context.Context, j *Journal, ref Ref, to State) (Change, error) {
	return c.rollback(ctx, j, ref, to, false)
}

// RollbackAnyway is Rollback, and puts what was before the promote over whatever stage and aliases are now: what somebody
// else has released since is lost.
func (c *Client) RollbackAnyway(ctx context.Context, j *Journal, ref Ref, to State) (Change, error) {
	return c.rollback(ctx, j, ref, to, true)
}

func (c *Client) rollback(ctx context.Context, j *Journal, ref Ref, to State, anyway bool) (Change, error) {
	to = to.clone()
	to.Canary = nil
	return c.goBack(ctx, j, verbRollback, ref, to, func(before *position) (map[string]Alias, error) {
		if j == nil {
			return nil, nil
		}
		steps := j.sincePromote()
		was := aliasesBefore(steps)
		for key, alias := range was {
			if _, err := c.readInto(ctx, before, alias); err != nil {
				return nil, err
			}
			if ref.Weighted() {
				alias.Weights = nil
				was[key] = alias
			}
		}
		if len(steps) == 0 || anyway {
			return was, nil
		}
		possible := append(led(position{State: *steps[0].Before, Aliases: aliasesBefore(steps)}, steps), position{State: to, Aliases: was})
		if diff := nearest(*before, possible); len(diff) > 0 {
			return nil, fmt.Errorf("%w, by somebody else since the promote: %s", ErrChanged, joined(diff))
		}
		return was, nil
	})
}

// Restore makes the stage exactly what it was, canary included, and so with the
// aliases that the story under way has moved. Without a difference nothing is
// sent. It refuses, with ErrChanged, what the story under way cannot have left;
// between stories it goes back from whatever there is.
func (c *Client) Restore(ctx context.Context, j *Journal, ref Ref, to State) (Change, error) {
	return c.restore(ctx, j, ref, to, false)
}

func (c *Client) restore(ctx context.Context, j *Journal, ref Ref, to State, anyway bool) (Change, error) {
	return c.goBack(ctx, j, verbRestore, ref, to, func(before *position) (map[string]Alias, error) {
		story := j.current()
		if story == nil {
			return nil, nil
		}
		was := aliasesBefore(story.Steps)
		for _, alias := range was {
			if _, err := c.readInto(ctx, before, alias); err != nil {
				return nil, err
			}
		}
		if diff := nearest(*before, story.possible()); len(diff) > 0 && !anyway {
			return nil, fmt.Errorf("%w, by somebody else: %s", ErrChanged, joined(diff))
		}
		return was, nil
	})
}

// nearest is how where things are differs from the nearest of where they may be. The stage's cache is nothing that a verb
// turns on or off.
func nearest(now position, possible []position) []string {
	diffs := make([][]string, len(possible))
	for i, p := range possible {
		p.CacheEnabled = now.CacheEnabled
		diffs[i] = now.differ(p)
	}
	return slices.MinFunc(diffs, func(a, b []string) int { return len(a) - len(b) })
}

// readInto adds a fresh reading of an alias to the position.
func (c *Client) readInto(ctx context.Context, p *position, alias Alias) (Alias, error) {
	now, err := c.readAlias(ctx, alias.Function, alias.Name)
	if err != nil {
		return now, fmt.Errorf("alias %s of %s: %w", alias.Name, alias.Function, err)
	}
	*p = p.at(now)
	return now, nil
}

func (c *Client) goBack(ctx context.Context, j *Journal, verb string, ref Ref, to State, aliases func(*position) (map[string]Alias, error)) (Change, error) {
	a, deeds, err := c.prepare(ctx, j, verb, ref, func(before *position) ([]deed, error) {
		if to.API != ref.API || to.Stage != ref.Stage {
			return nil, fmt.Errorf("what to go back to is another stage: API %s, stage %s", to.API, to.Stage)
		}
		was, err := aliases(before)
		if err != nil {
			return nil, err
		}
		return returning(*before, position{State: to, Aliases: was}), c.deployed(ctx, before.State, to)
	})
	if err == nil && len(deeds) == 0 && c.Announce != nil { // what the story made may still be deleted
		none := a.change
		none.After = none.Before
		err = c.Announce(none)
	}
	if err != nil {
		return a.result(err)
	}
	if err := a.do(ctx, deeds); err != nil {
		return a.result(err)
	}
	if len(deeds) > 0 && a.at.CacheEnabled {
		a.flush(ctx)
	}
	a.tidy(ctx)
	return a.result(nil)
}

// deployed refuses to start back to a deployment that is gone: halfway, the
// canary would be removed and the stage still wrong.
func (c *Client) deployed(ctx context.Context, now, to State) error {
	ids := []string{to.DeploymentID} // "" of a weighted alias, as now's
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
		_, err := a.c.gateway.FlushStageCache(ctx, &apigateway.FlushStageCacheInput{RestApiId: &ref.API, StageName: &ref.Stage}, finished)
		return Outcome{}, condense(err)
	})
	if err != nil {
		a.change.Notes = append(a.change.Notes, "the stage's cache is not flushed: "+err.Error())
	}
}
