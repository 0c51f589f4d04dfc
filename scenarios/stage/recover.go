package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Recover restores the stage that an interrupted story left, as the journal
// has it, deletes the unused deployments the story made, and ends the story.
// Given a directory it does so for every journal of this control plane. What
// is finished already is left alone.
//
// It refuses with ErrChanged when the stage is none of what the story can have
// left: then somebody has been there since, and the stage as it was may be the
// wrong one by now. RecoverAnyway does not ask.
func (c *Client) Recover(ctx context.Context, path string) ([]Change, error) {
	return c.recoverAll(ctx, path, false)
}

// RecoverAnyway restores the stage of an unfinished story over whatever it is now.
func (c *Client) RecoverAnyway(ctx context.Context, path string) ([]Change, error) {
	return c.recoverAll(ctx, path, true)
}

// Dismiss ends a journal's unfinished story without touching the stage: for
// one that somebody has put right by hand. It reports whether there was one.
func Dismiss(path string) (bool, error) {
	if _, err := os.Stat(path); err != nil {
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
	j.at, j.api, j.name, j.open = story.control, story.Ref.API, story.Ref.Stage, true
	change, err := c.recoverStory(ctx, j, *story, anyway)
	if err != nil && len(change.Operations) == 0 {
		return nil, err
	}
	return []Change{change}, err
}

func (c *Client) recoverStory(ctx context.Context, j *Journal, story Story, anyway bool) (Change, error) {
	ref := story.Ref
	now, err := c.read(ctx, ref)
	switch {
	case IsNotFound(err):
		note := fmt.Sprintf("stage %s of API %s is gone: nothing to restore", ref.Stage, ref.API)
		return Change{Verb: "recover", Ref: ref, Notes: []string{note}}, j.Done(false)
	case err != nil:
		return Change{}, fmt.Errorf("recover %s: %w", ref.Stage, err)
	case !anyway && !story.mayHaveLeft(now):
		return Change{}, fmt.Errorf("recover %s: %w, by somebody else since %s: %s", ref.Stage, ErrChanged,
			story.At.Format(time.RFC3339), strings.Join(now.settingsDiffer(story.Before), "; "))
	}
	change, err := c.Restore(ctx, j, ref, story.Before)
	if err != nil {
		return change, err
	}
	return change, j.Done(true)
}

// mayHaveLeft reports whether the stage can be the story's own doing: the
// stage before it, after each step, or within a step that has no good end,
// whose patch may have been applied up to any operation.
func (s Story) mayHaveLeft(now State) bool {
	possible := map[string]State{}
	add := func(s State) {
		s.LastUpdated, s.APIName, s.Tags = time.Time{}, "", nil
		key, _ := json.Marshal(s) // maps marshal in key order
		possible[string(key)] = s
	}
	add(s.Before)
	for _, step := range s.Steps {
		finished := step.Outcome != nil && step.Outcome.Error == ""
		from := possible
		possible = map[string]State{}
		for _, state := range from {
			if finished {
				add(state.with(step.Operations...))
				continue
			}
			for n := range len(step.Operations) + 1 {
				add(state.with(step.Operations[:n]...))
			}
		}
		if !finished && step.Outcome != nil && step.Outcome.Stage != nil {
			add(*step.Outcome.Stage)
		}
	}
	add(s.Before) // there is nothing to overwrite then
	for _, state := range possible {
		if len(now.settingsDiffer(state)) == 0 {
			return true
		}
	}
	return false
}
