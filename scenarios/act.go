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
	target := s.Recorder.Judge.Target()
	switch action {
	case Promote:
		err := s.promote(ctx)
		if err != nil && (ctx.Err() != nil || !errors.Is(err, stage.ErrPromoted)) {
			return s.unpromoted(ctx, err)
		}
		return also(err, s.promoted(ctx))
	case Rollback:
		if err := s.abort(ctx); s.gone(err) {
			return s.done(false)
		} else if err != nil {
			return err
		}
		s.after(ctx, analyze.After, target.Baseline, target.Canary)
		return nil
	}
	return s.hold(ctx)
}

// promoted is what follows a promote, also one whose canary's settings could not be taken away.
func (s *Story) promoted(ctx context.Context) error {
	target := s.Recorder.Judge.Target()
	s.after(ctx, analyze.After, target.Canary, target.Baseline)
	if s.Then == Repoint && s.Recorder.Judge.Outcome() == analyze.Pass {
		if err := s.repoint(ctx); err != nil {
			return s.unrepointed(ctx, err)
		}
		s.after(ctx, analyze.After+"/repoint", target.Canary, target.Baseline)
	}
	if s.Recorder.Judge.Outcome() == analyze.Fail {
		return s.rollbackIfAllowed(ctx)
	}
	return s.done(false)
}

// unpromoted is what follows a promote that was refused or broke off. Credentials that have ended may have been renewed
// by now: going back is tried with whatever there is.
func (s *Story) unpromoted(ctx context.Context, err error) error {
	var touched stage.Touched
	if errors.Is(err, stage.ErrChanged) && !errors.As(err, &touched) {
		return s.undo(ctx, err) // only our canary: the rest is somebody else's by now
	}
	if ctx.Err() != nil {
		err = nil // an interrupt is no error of its own
	}
	if _, changed := s.Control.Journal.Before(); !changed && err != nil {
		return fmt.Errorf("%w: nothing was changed", err)
	}
	return also(err, s.restore(ctx))
}

// unrepointed takes the promote back with what there is of the repoint, or leaves the journal open for recover. A promote
// of whose repoint there is nothing is whole: the journal is closed, and canary repoint can go on from it.
func (s *Story) unrepointed(ctx context.Context, err error) error {
	var touched stage.Touched
	switch {
	case s.Act.Reject == Rollback:
		return also(err, s.rollback(ctx))
	case !errors.As(err, &touched):
		return also(fmt.Errorf("%w: promoted, but nothing was repointed", err), s.done(false))
	}
	return fmt.Errorf("%w: promoted, and half repointed: coalmine canary recover %s takes all of it back", err, s.Control.Journal.Path())
}

func (s *Story) rollbackIfAllowed(ctx context.Context) error {
	if s.Act.Reject == Rollback {
		return s.rollback(ctx)
	}
	return s.done(false)
}

// repoint moves production back to its own alias, which then leads to the tested version.
func (s *Story) repoint(ctx context.Context) error {
	c, r := s.Control, s.Recorder
	r.Note(analyze.RepointBegin, nil)
	change, err := c.Client.Repoint(ctx, c.Journal, c.Ref, c.Live)
	r.Note(analyze.RepointEnd, failure(err))
	if err != nil {
		return fmt.Errorf("repoint: %w", err)
	}
	s.say(change)
	return nil
}

// hold leaves the canary as it is, with the percentage that it had before a bake. One that the breaker stopped stays
// stopped.
func (s *Story) hold(ctx context.Context) error {
	if s.stopped || !s.raised && !s.lowered {
		return s.done(s.Create == nil && !s.stopped)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoing)
	defer cancel()
	was := s.Recorder.Judge.Target().Percent
	switch now, err := s.read(ctx); {
	case s.gone(err):
		return s.done(false)
	case err != nil && !s.raised:
		return s.left(ctx, err)
	case err == nil && s.lowered && percentOf(now) == 0:
		s.lines([]string{"the canary gets 0 %, as the circuit breaker asked"}) // though the answer was lost
		return s.done(false)
	case err == nil && percentOf(now) == was: // it was never set
		return s.done(s.Create == nil)
	case err == nil && (!s.raised || percentOf(now) != 100):
		// An operator's 0 % perhaps: not ours to overwrite.
		s.lines([]string{"the percentage is not set back, for somebody else has changed it: " + standing(now)})
		return s.done(false)
	}
	if err := s.percent(ctx, was); s.gone(err) {
		return s.done(false)
	} else if err != nil {
		return s.left(ctx, err)
	}
	return s.done(s.Create == nil)
}

func (s *Story) promote(ctx context.Context) error {
	c, r := s.Control, s.Recorder
	r.Note(analyze.PromoteBegin, nil)
	change, err := c.Client.Promote(ctx, c.Journal, c.Ref, c.Live, s.Keep)
	r.Note(analyze.PromoteEnd, failure(err))
	if err != nil {
		s.saw(change)
		return fmt.Errorf("promote: %w", err)
	}
	s.say(change)
	return nil
}

// undo removes the canary if the story made it, and gives one that was live its percentage back: after an interrupt, or
// trouble, which err is. Before the story's first change a canary on the stage is somebody else's.
func (s *Story) undo(ctx context.Context, err error) error {
	if s.Create == nil {
		return also(err, s.hold(ctx))
	}
	if !s.changes() {
		return err
	}
	back := s.abort(ctx)
	if s.gone(back) {
		back = s.done(false)
	}
	return also(err, back)
}

// abort removes the canary under test, and no other, even when the run was interrupted. Of one whose making broke off the
// journal knows what it may be like.
func (s *Story) abort(ctx context.Context) error {
	return s.goBack(ctx, func(ctx context.Context, j *stage.Journal, ref stage.Ref, _ stage.State) (stage.Change, error) {
		var expect *stage.Measured
		if live := s.Control.Live; s.Create == nil || len(live.Arms) == 2 {
			expect = &live
		}
		change, err := s.Control.Client.Abort(ctx, j, ref, expect)
		if !errors.Is(err, stage.ErrNoCanary) {
			return change, err
		}
		if to, changed := j.Before(); changed && s.Create != nil { // somebody has removed it, or promoted it
			return s.Control.Client.Restore(ctx, j, ref, to)
		}
		return change, nil // it was never made, or is not what this story has to remove
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
		s.saw(change)
		return s.left(ctx, fmt.Errorf("rollback: %w", err))
	}
	s.say(change)
	return s.done(true)
}

// after waits until traffic proves that one version alone answers.
func (s *Story) after(ctx context.Context, phase, expect, absent string) {
	plan := s.Plan
	plan.Phase = phase
	plan.Duration = time.Duration(s.Policy.MaxDuration)
	if phase == analyze.After && s.Then == Repoint && expect == s.Plan.Canary {
		plan.Keep = afterHits // for what follows it
	}
	s.Recorder.Traffic(ctx, plan, s.place("expect", expect, "absent", absent))
}

func (s *Story) done(restored bool) error {
	if s.Control == nil || s.Control.Journal == nil {
		return nil
	}
	return s.Control.Journal.Done(restored)
}

// also is one line of two errors, where there are two.
func also(err, more error) error {
	if err == nil || more == nil {
		return errors.Join(err, more)
	}
	return fmt.Errorf("%w; %w", err, more)
}

func failure(err error) map[string]string {
	if err == nil {
		return nil
	}
	return map[string]string{"error": err.Error()}
}
