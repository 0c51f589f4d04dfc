package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apigateway"
)

// Recover restores the stage that an interrupted story left, as the journal
// has it, deletes the unused deployments the story made, and ends the story.
// Given a directory it does so for every journal of this control plane. What
// is finished already is left alone. Where there is nothing to undo, since
// stage and aliases are as before, or since somebody else has taken the canary
// away that was there before and nothing else differs, it only ends the story,
// and says so in the change's notes.
//
// It refuses with ErrChanged when the stage is none of what the story can have
// left: then somebody has been there since, and the stage as it was may be the
// wrong one by now. Dismiss leaves it so, RecoverAnyway does not ask.
func (c *Client) Recover(ctx context.Context, path string) ([]Change, error) {
	return c.recoverAll(ctx, path, false)
}

// RecoverAnyway is Recover, and puts what was before an unfinished story over
// whatever the stage is now: what somebody else has made of it since is lost.
func (c *Client) RecoverAnyway(ctx context.Context, path string) ([]Change, error) {
	return c.recoverAll(ctx, path, true)
}

// oneJournal refuses a directory, where what is given up would not be named.
func oneJournal(path string) error {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory: name one journal in it", path)
	}
	return err
}

// Dismiss ends the unfinished story of one journal, a file, and asks AWS nothing:
// the stage stays as it is, for one that somebody has put right by hand, and
// deployments that the story made stay, too. It reports whether there was one.
func Dismiss(path string) (bool, error) {
	if err := oneJournal(path); err != nil {
		return false, fmt.Errorf("dismiss: %w", err)
	}
	j, err := openJournal(path)
	if err != nil {
		return false, fmt.Errorf("dismiss: %w", err)
	}
	defer j.Close()
	if last := j.last(); last == nil || !last.Unfinished() {
		return false, nil
	}
	j.open = true
	return true, j.Done(false)
}

func (c *Client) recoverAll(ctx context.Context, path string, anyway bool) ([]Change, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("recover: %w", err)
	}
	if !info.IsDir() {
		return c.recoverOne(ctx, path, anyway, false)
	}
	paths, err := filepath.Glob(filepath.Join(path, "*.ndjson"))
	if err != nil {
		return nil, fmt.Errorf("recover: %w", err)
	}
	var changes []Change
	var errs []error
	for _, path := range paths {
		more, err := c.recoverOne(ctx, path, anyway, true)
		changes, errs = append(changes, more...), append(errs, err)
	}
	return changes, errors.Join(errs...)
}

func (c *Client) recoverOne(ctx context.Context, path string, anyway, skipOthers bool) ([]Change, error) {
	j, err := openJournal(path)
	if err != nil {
		return nil, fmt.Errorf("recover: %w", err)
	}
	defer j.Close()
	story := j.last()
	if story == nil || !story.Unfinished() {
		return nil, nil
	}
	if story.control != c.control() {
		if skipOthers {
			return nil, nil
		}
		return nil, fmt.Errorf("recover: journal %s is of account %s, %s, %s; this is account %s, %s, %s", path,
			story.Account, story.Region, firstOf(story.Endpoint, "AWS"), c.account, c.region, firstOf(c.endpoint, "AWS"))
	}
	j.at, j.ref, j.open = story.control, story.Ref, true
	change, err := c.recoverStory(ctx, j, *story, anyway)
	if err != nil && len(change.Operations)+len(change.Moves) == 0 {
		return nil, err
	}
	return []Change{change}, err
}

func (c *Client) recoverStory(ctx context.Context, j *Journal, story Story, anyway bool) (Change, error) {
	ref := story.Ref
	now, err := c.position(ctx, ref)
	if IsNotFound(err) {
		return c.justEnd(j, ref, ref.thing()+" is gone: nothing to restore")
	}
	for _, alias := range story.start().Aliases {
		if err == nil {
			_, err = c.readInto(ctx, &now, alias)
		}
	}
	to, as := story.Before, "as it was"
	switch {
	case err != nil:
		return Change{}, fmt.Errorf("recover %s: %w", ref, err)
	case anyway || story.mayHaveLeft(now):
	case story.canaryGone(ref, now):
		if ref.Weighted() {
			return c.justEnd(j, ref, "nothing to undo: "+ref.thing()+" is else as it was, its canary gone by somebody else's doing")
		}
		to.Canary, as = nil, "else as it was, its canary gone by somebody else's doing"
	default:
		return Change{}, fmt.Errorf("recover %s: %w, by somebody else since %s: %s; coalmine canary recover --dismiss %s leaves the stage as it is and closes the journal; --anyway puts back what was",
			ref, ErrChanged, story.At.Format(time.RFC3339), joined(nearest(now, story.possible())), j.path)
	}
	if gone, err := c.discarded(ctx, story); err != nil {
		return Change{}, fmt.Errorf("recover %s: %w", ref, err)
	} else if gone {
		to.Canary, as = nil, "else as it was, its canary aborted with its deployment"
	}
	change, err := c.restore(ctx, j, ref, to, true)
	if err != nil {
		return change, err
	}
	if change.untidy != nil {
		return change, fmt.Errorf("recover %s: everything is as it was, but for an unused deployment: %w", ref, change.untidy)
	}
	if len(change.Operations)+len(change.Moves) == 0 {
		change.Notes = append(change.Notes, "nothing to undo: "+ref.thing()+" is "+as)
	}
	return change, j.Done(to.Canary != nil || story.Before.Canary == nil)
}

// justEnd ends a story that leaves nothing to do.
func (c *Client) justEnd(j *Journal, ref Ref, note string) (Change, error) {
	change := Change{Verb: "recover", Ref: ref, Notes: []string{note}}
	if c.Announce != nil {
		if err := c.Announce(change); err != nil {
			return Change{}, err
		}
	}
	return change, j.Done(false)
}

// discarded reports whether the story has deleted the deployment of the canary that was there before, as an abort does.
func (c *Client) discarded(ctx context.Context, story Story) (bool, error) {
	deleted := slices.ContainsFunc(story.Steps, func(step Step) bool { return step.Request == "DeleteDeployment" })
	if story.Before.Canary == nil || !deleted {
		return false, nil
	}
	_, err := c.gateway.GetDeployment(ctx, &apigateway.GetDeploymentInput{RestApiId: &story.Ref.API, DeploymentId: &story.Before.Canary.DeploymentID})
	if IsNotFound(err) {
		return true, nil
	}
	return false, condense(err)
}

// canaryGone reports whether all that differs from before the story is that the canary which was there then is not.
func (s Story) canaryGone(ref Ref, now position) bool {
	start := s.start()
	if ref.Weighted() {
		alias := start.weighted(ref)
		alias.Weights = nil
		return now.weighted(ref).points(alias)
	}
	had := start.Canary != nil
	start.Canary = nil
	return had && len(nearest(now, []position{start})) == 0
}

// mayHaveLeft reports whether where things are can be the story's own doing:
// where they were before it, after each step, or within a step that has no good
// end, whose patch may have been applied up to any operation.
func (s Story) mayHaveLeft(now position) bool {
	return len(nearest(now, s.possible())) == 0
}

// possible is where the story may have left things, where it began included: there is nothing to overwrite then.
func (s Story) possible() []position {
	return append(led(s.start(), s.Steps), s.start())
}

// led are the positions that the steps can have led to from this one, without those that hold somebody else's canary.
func led(from position, steps []Step) []position {
	at := []position{from}
	others := map[string]bool{}
	for _, step := range steps {
		if step.refused() {
			continue
		}
		var next []position
		seen := map[string]bool{}
		for _, p := range at {
			for _, after := range step.mayLeave(p) {
				after.LastUpdated, after.APIName, after.Tags = time.Time{}, "", nil
				key, _ := json.Marshal(after) // maps marshal in key order
				if !seen[string(key)] {
					seen[string(key)], next = true, append(next, after)
				}
			}
		}
		at = next
		if step.Outcome != nil && step.Outcome.Others != "" {
			others[step.Outcome.Others] = true
		}
	}
	return slices.DeleteFunc(at, func(p position) bool { return p.Canary != nil && others[p.Canary.DeploymentID] })
}

// leftCanary refuses a canary that the story cannot have left, at whatever percent; without a story none.
func (s *Story) leftCanary(ref Ref, now position) error {
	if s == nil {
		return nil
	}
	var err error
	for _, p := range s.possible() {
		m := Measured{Ref: ref, Stage: &p.State}
		if ref.Weighted() {
			m.Aliases = []Alias{p.weighted(ref)}
		}
		if err = m.sameCanary(now); err == nil {
			return nil
		}
	}
	return err
}

// mayLeave are the positions that a step can have led to from this one.
func (s Step) mayLeave(from position) []position {
	if s.done() {
		return []position{from.with(deed{s.Operations, s.Move})}
	}
	left := []position{from}
	for n := range s.Operations {
		left = append(left, from.with(deed{ops: s.Operations[:n+1]}))
	}
	if s.Move != nil {
		left = append(left, from.with(deed{move: s.Move}))
	}
	if s.Outcome == nil {
		return left
	}
	if s.Outcome.Stage != nil {
		left = append(left, position{State: *s.Outcome.Stage, Aliases: from.Aliases})
	}
	if s.Outcome.Alias != nil {
		left = append(left, from.at(*s.Outcome.Alias))
	}
	return left
}
