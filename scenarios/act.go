package scenarios

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coalmine/analyze"
	"coalmine/scenarios/stage"
)

// act does what the scenario says about the verdict, and lets traffic prove that it took.
func (s *Story) act(ctx context.Context) error {
	verdict := s.Recorder.Judge.Verdict()
	action := map[analyze.Verdict]Action{analyze.Promote: s.Act.Promote, analyze.Reject: s.Act.Reject, analyze.Inconclusive: s.Act.Inconclusive}[verdict]
	target := s.Recorder.Judge.Analysis().Header.Target
	switch action {
	case Promote:
		if err := s.promote(ctx); errors.Is(err, stage.ErrChanged) {
			return s.undo(ctx, err) // only our canary: the rest is somebody else's by now
		} else if err != nil {
			if ctx.Err() != nil {
				err = nil // an interrupt is no error of its own
			}
			return errors.Join(err, s.restore(ctx))
		}
		s.after(ctx, target.Canary, target.Baseline)
		if s.Recorder.Judge.Outcome() == analyze.Fail && s.Act.Reject == Rollback {
			return s.rollback(ctx)
		}
		return s.done(false)
	case Rollback:
		if err := s.abort(ctx); err != nil {
			return err
		}
		s.after(ctx, target.Baseline, target.Canary)
		return nil
	}
	return s.done(false)
}

func (s *Story) promote(ctx context.Context) error {
	c, r := s.Control, s.Recorder
	r.Note(analyze.PromoteBegin, nil)
	change, err := c.Client.Promote(ctx, c.Journal, c.Ref, c.Live, false)
	r.Note(analyze.PromoteEnd, failure(err))
	if err != nil {
		return fmt.Errorf("promote: %w", err)
	}
	s.say(change)
	return nil
}

// undo removes the canary if the story made it: after an interrupt, or trouble, which err is. Before the story's first
// change a canary on the stage is somebody else's.
func (s *Story) undo(ctx context.Context, err error) error {
	if s.Create == nil {
		return errors.Join(err, s.done(false))
	}
	if _, changed := s.Control.Journal.Before(); !changed {
		return err
	}
	return errors.Join(err, s.abort(ctx))
}

// abort removes the canary, even when the run was interrupted.
func (s *Story) abort(ctx context.Context) error {
	return s.goBack(ctx, func(ctx context.Context, j *stage.Journal, ref stage.Ref, _ stage.State) (stage.Change, error) {
		change, err := s.Control.Client.Abort(ctx, j, ref, nil)
		if errors.Is(err, stage.ErrNoCanary) {
			err = nil // it was never made, or is gone
		}
		return change, err
	}, stage.State{})
}

// rollback takes back a promote that traffic did not confirm.
func (s *Story) rollback(ctx context.Context) error {
	to, found := s.Control.Journal.BeforePromote()
	if !found {
		return errors.New("rollback: the journal does not hold the stage as it was before the promote")
	}
	return s.goBack(ctx, s.Control.Client.Rollback, to)
}

// restore makes the stage what it was before the story's first change, whatever a promote that broke off left.
func (s *Story) restore(ctx context.Context) error {
	to, changed := s.Control.Journal.Before()
	if !changed {
		return nil
	}
	return s.goBack(ctx, s.Control.Client.Restore, to)
}

type goingBack func(context.Context, *stage.Journal, stage.Ref, stage.State) (stage.Change, error)

// goBack is not stopped by an interrupt.
func (s *Story) goBack(ctx context.Context, verb goingBack, to stage.State) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoing)
	defer cancel()
	c, r := s.Control, s.Recorder
	r.Note(analyze.RollbackBegin, nil)
	change, err := verb(ctx, c.Journal, c.Ref, to)
	r.Note(analyze.RollbackEnd, failure(err))
	if err != nil {
		return fmt.Errorf("rollback: %w (see: coalmine canary recover)", err)
	}
	s.say(change)
	return s.done(true)
}

// after waits until traffic proves that one version alone answers.
func (s *Story) after(ctx context.Context, expect, absent string) {
	plan := s.Plan
	plan.Phase = analyze.After
	plan.Duration = time.Duration(s.Policy.MaxDuration)
	detail := map[string]string{"expect": expect, "absent": absent}
	if s.Control != nil {
		detail["stage"] = s.Control.Ref.Stage
	}
	s.Recorder.Traffic(ctx, plan, detail)
}

func (s *Story) done(restored bool) error {
	if s.Control == nil || s.Control.Journal == nil {
		return nil
	}
	return s.Control.Journal.Done(restored)
}

func failure(err error) map[string]string {
	if err == nil {
		return nil
	}
	return map[string]string{"error": err.Error()}
}
