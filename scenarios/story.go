package scenarios

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"coalmine/analyze"
	"coalmine/attack"
	"coalmine/scenarios/stage"
)

// Story is a run about to happen: of a scenario, or of a canary that is live already.
type Story struct {
	Recorder *Recorder
	Plan     attack.Plan // against the tested stage; each phase completes it
	Policy   analyze.Policy
	Before   []Stage  // asked before anything is changed, the tested stage first
	Control  *Control // nil: there is no control plane, only a URL
	Create   *Canary  // nil: the canary is live already
	Act      Act
	Say      func(line string) // what is done to the stage, for a person
}

// Stage is a stage to be asked before the canary.
type Stage struct {
	Name, URL, Version string
}

// Control is the stage's control plane, with the stage as it was when the run began.
type Control struct {
	Client  *stage.Client
	Ref     stage.Ref
	Journal *stage.Journal // nil: nothing is ever changed
	Live    stage.Measured // under test: what promote must find again
}

// How long undoing may take: it goes on when the run was interrupted.
const undoing = 60 * time.Second

// Tell runs the story. Trouble with the tool or its surroundings is the error; what is wrong with the release is in the
// analysis. Whatever happens, a canary that the story made is promoted, held as asked, or removed.
func (s *Story) Tell(ctx context.Context) (analyze.Analysis, error) {
	if s.Control != nil {
		s.Control.Client.Announce = func(change stage.Change) error { s.lines(change.Plan()); return nil }
	}
	err := s.tell(ctx)
	end := analyze.End{Reason: "verdict"}
	switch c := s.Recorder.Judge.Conclude(); {
	case ctx.Err() != nil:
		end.Reason = "interrupted"
	case err != nil:
		end = analyze.End{Reason: "error", Error: err.Error()}
	case len(c.Void) > 0 && strings.Contains(c.Void[0], "circuit breaker"):
		end.Reason = "breaker"
	case c.Verdict == analyze.Inconclusive && len(c.Void) == 0:
		end.Reason = "budget"
	}
	analysis, lost := s.Recorder.Finish(end)
	return analysis, errors.Join(err, lost)
}

func (s *Story) tell(ctx context.Context) error {
	s.before(ctx)
	if !s.fit() {
		return nil
	}
	if err := s.during(ctx); err != nil {
		return s.undo(ctx, err)
	}
	s.Recorder.Conclude()
	if ctx.Err() != nil {
		return s.undo(ctx, nil)
	}
	return s.act(ctx)
}

// before asks every stage whether its own version answers, and nothing else.
func (s *Story) before(ctx context.Context) {
	for i, at := range s.Before {
		plan := s.Plan
		plan.Phase = analyze.Before
		if i > 0 {
			plan.Phase += "/" + at.Name
		}
		plan.Target.URL = at.URL
		plan.Duration = time.Duration(s.Policy.MaxDuration)
		s.Recorder.Traffic(ctx, plan, map[string]string{"stage": at.Name, "expect": at.Version})
		if ctx.Err() != nil || s.Recorder.Judge.Outcome() != analyze.Pass {
			return
		}
	}
}

// fit reports that the way is free for the canary.
func (s *Story) fit() bool { return len(s.Before) == 0 || s.Recorder.Judge.Outcome() == analyze.Pass }

// during sends traffic until the verdict; the canary is made beside it, so that its arrival is seen. A verdict ends the
// load, but does not break off what is being made: that is what the verdict is about, and will be undone as a whole.
func (s *Story) during(ctx context.Context) error {
	load, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	beside := make(chan error, 1)
	go func() {
		err := s.create(ctx)
		if err != nil {
			stop(err)
		} else {
			s.reread(load)
		}
		beside <- err
	}()
	plan := s.Plan
	plan.Phase = analyze.During
	plan.Duration = time.Duration(s.Policy.MaxDuration)
	s.Recorder.Traffic(load, plan, s.stageDetail())
	stop(nil)
	err := <-beside
	if ctx.Err() != nil {
		return nil // an interrupt is no error of its own
	}
	return err
}

func (s *Story) stageDetail() map[string]string {
	if s.Control == nil {
		return nil
	}
	return map[string]string{"stage": s.Control.Ref.Stage}
}

func (s *Story) create(ctx context.Context) error {
	if s.Create == nil {
		return nil
	}
	c, r := s.Control, s.Recorder
	r.Note(analyze.CanaryCreated, map[string]string{"percent": fmt.Sprint(s.Create.Percent)})
	change, err := c.Client.CreateCanary(ctx, c.Journal, c.Ref, s.Create.Percent, s.Create.Overrides)
	if err != nil {
		return err
	}
	s.say(change)
	if s.Create.Deploy {
		if change, err = c.Client.DeployCanary(ctx, c.Journal, c.Ref, "coalmine canary"); err != nil {
			return err
		}
		s.say(change)
	}
	if c.Live, err = c.Client.Measure(ctx, c.Ref); err != nil {
		return err
	}
	c.Live.Stage = &change.After // whoever was quicker than the measuring shows
	r.Note(analyze.CanaryDeployed, map[string]string{"deployment": change.After.Canary.DeploymentID})
	return nil
}

// reread looks at the stage every few seconds: a verdict is about the stage that was measured, not about another.
func (s *Story) reread(ctx context.Context) {
	if s.Control == nil {
		return
	}
	every := time.NewTicker(2 * time.Second)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		now, err := s.Control.Client.Again(ctx, s.Control.Live)
		if err != nil {
			continue // one missed look is no news; acting reads again and would fail
		}
		if changes := now.Differs(s.Control.Live); len(changes) > 0 {
			s.Recorder.Note(analyze.StageChanged, map[string]string{"what": strings.Join(changes, ", ")})
			return
		}
	}
}

// say shows what a change turned out to be; what it would be was announced before its first request.
func (s *Story) say(change stage.Change) { s.lines(change.Results()) }

func (s *Story) lines(lines []string) {
	if s.Say == nil {
		return
	}
	for _, line := range lines {
		s.Say(line)
	}
}
