package scenarios

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"coalmine/scenarios/stage"
)

// left is an error that leaves what the story has done to the stage: with what is there now, or was when it could last be
// read, and with the command that comes next.
func (s *Story) left(ctx context.Context, err error) error {
	if !s.changes() {
		return err
	}
	path := s.Control.Journal.Path()
	if _, changed := s.Control.Journal.Before(); !changed {
		return fmt.Errorf("%w: nothing was changed", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	now, unread := s.read(ctx)
	switch {
	case s.gone(unread):
		return fmt.Errorf("%w: %s is gone; coalmine canary recover %s closes its journal", err, splitter(s.Control.Ref), path)
	case unread == nil && len(s.since(now)) == 0:
		return fmt.Errorf("%w: %s is as it was before this run; coalmine canary recover %s closes its journal", err, splitter(s.Control.Ref), path)
	case unread == nil:
		return fmt.Errorf("%w: not undone: now %s; %s", err, s.difference(now), next(err, path))
	}
	return fmt.Errorf("%w: not undone: as last read at %s, %s; %s", err, s.seenAt.UTC().Format("15:04:05Z"), s.difference(s.seen), next(err, path))
}

// since is what is not as it was before the story.
func (s *Story) since(now stage.Measured) []string { return timeless(now).Differs(timeless(s.was)) }

// difference says the same to a person.
func (s *Story) difference(now stage.Measured) string {
	changes := s.since(now)
	switch is, was := percentOf(now), percentOf(s.was); {
	case len(changes) == 0:
		return splitter(s.Control.Ref) + " is as it was before this run"
	case len(changes) == 1 && is != was && was > 0 && is > 0:
		return fmt.Sprintf("the canary gets %v %% of %s, and had %v %% before this run", is, splitter(s.Control.Ref), was)
	}
	return splitter(s.Control.Ref) + " differs from before this run: " + strings.Join(changes, "; ")
}

// standing is what the canary gets.
func standing(now stage.Measured) string {
	if now.Stage != nil && now.Stage.Canary == nil {
		return "there is no canary any more"
	}
	return fmt.Sprintf("the canary gets %v %%", percentOf(now))
}

// timeless is what was measured without its marks of time.
func timeless(m stage.Measured) stage.Measured {
	if m.Stage != nil {
		state := *m.Stage
		state.LastUpdated = time.Time{}
		m.Stage = &state
	}
	m.Aliases = append([]stage.Alias(nil), m.Aliases...)
	for i := range m.Aliases {
		m.Aliases[i].Revision = ""
	}
	return m
}

// next is what to do about what could not be undone, by its cause.
func next(err error, path string) string {
	recover := "coalmine canary recover " + path
	switch {
	case errors.Is(err, stage.ErrCredentials):
		return "with credentials that work: " + recover
	case errors.Is(err, stage.ErrUnreachable):
		return "once AWS can be reached: " + recover
	case errors.Is(err, stage.ErrChanged):
		return "somebody else has been there: coalmine canary recover --dismiss " + path + " leaves it so, --anyway makes it what it was before this run"
	}
	return "once that is mended: " + recover
}
