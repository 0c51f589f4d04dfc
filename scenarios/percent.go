package scenarios

import (
	"context"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"

	"coalmine/analyze"
	"coalmine/scenarios/stage"
)

// bake sends all of the load to the canary for a time, and judges it. Whatever comes of it, the percentage is this story's
// to take back.
func (s *Story) bake(ctx context.Context) error {
	if s.Bake == 0 || ctx.Err() != nil {
		return nil
	}
	target := s.Recorder.Judge.Target()
	plan := s.Plan
	plan.Phase = analyze.Bake
	plan.Duration = s.Bake
	return s.load(ctx, plan, s.place("expect", target.Canary, "absent", target.Baseline), func(ctx context.Context) error {
		s.raised = true
		return s.percent(ctx, 100)
	})
}

// breaker, where the circuit breaker has stopped the load, takes the canary's traffic away at once, if rolling back was
// allowed.
func (s *Story) breaker(ctx context.Context) error {
	why := s.Recorder.Judge.Tripped()
	if why == "" {
		return nil
	}
	allowed := s.changes() && (s.Act.Reject == Rollback || s.Act.Inconclusive == Rollback)
	detail, line := map[string]string{"why": why}, "circuit breaker: "+why+": the load has stopped"
	if allowed {
		detail["percent"], line = "0", line+", and the canary gets 0 % now"
	}
	s.Recorder.Note(analyze.BreakerTripped, detail)
	s.lines([]string{line})
	if !allowed {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoing)
	defer cancel()
	s.lowered = true
	err := s.percent(ctx, 0)
	if s.gone(err) {
		err = nil // and its traffic with it
	}
	s.stopped = err == nil
	return err
}

// changes reports whether there is a canary that this story may change.
func (s *Story) changes() bool {
	if s.Control == nil || s.Control.Journal == nil {
		return false
	}
	_, changed := s.Control.Journal.Before()
	return s.Create == nil || changed
}

// percent sets what the canary gets, if it is still the canary under test.
func (s *Story) percent(ctx context.Context, percent float64) error {
	c := s.Control
	detail := map[string]string{"percent": strconv.FormatFloat(percent, 'f', -1, 64)}
	err := s.same(ctx)
	if err == nil {
		s.foresee = func(change stage.Change) error { return differs(seenBy(change, c.Live), c.Live) }
		defer func() { s.foresee = nil }()
		var change stage.Change
		if change, err = c.Client.SetPercent(ctx, c.Journal, c.Ref, percent); err == nil {
			s.say(change)
			err = s.again(ctx, percent)
		}
	}
	if err != nil {
		detail["error"] = err.Error()
		err = fmt.Errorf("set the canary to %s %%: %w", detail["percent"], err)
	}
	s.Recorder.Note(analyze.PercentSet, detail)
	return err
}

// same refuses another canary than the one under test, at whatever percentage.
func (s *Story) same(ctx context.Context) error {
	now, err := s.read(ctx)
	if err != nil {
		return err
	}
	return differs(now, s.Control.Live)
}

// seenBy is what was measured, as the change that is about to be made found it.
func seenBy(change stage.Change, live stage.Measured) stage.Measured {
	if live.Stage != nil {
		live.Stage = &change.Before
	} else if len(change.Moves) > 0 {
		live.Aliases = []stage.Alias{change.Moves[0].Was}
	}
	return live
}

// again measures what is under test after its percentage was set: nothing else may be another then.
func (s *Story) again(ctx context.Context, percent float64) error {
	now, err := s.read(ctx)
	if err == nil {
		err = differs(now, s.Control.Live)
	}
	if got := percentOf(now); err == nil && got != percent {
		err = fmt.Errorf("%w: the canary gets %v %%, not %v %%", stage.ErrChanged, got, percent)
	}
	if err == nil {
		s.Control.Live = now
	}
	return err
}

// read reads what is under test once more.
func (s *Story) read(ctx context.Context) (stage.Measured, error) {
	now, err := s.Control.Client.Again(ctx, s.Control.Live)
	if err == nil {
		s.seen, s.seenAt = now, time.Now()
	}
	return now, err
}

// differs refuses what is not what was measured, but for the percentage, and the marks that setting it leaves.
func differs(now, was stage.Measured) error {
	if changes := but(now).Differs(but(was)); len(changes) > 0 {
		return fmt.Errorf("%w: %s", stage.ErrChanged, strings.Join(changes, "; "))
	}
	return nil
}

// but is what was measured, but for its percentage and its marks of time.
func but(m stage.Measured) stage.Measured {
	if m.Stage != nil {
		state := *m.Stage
		state.LastUpdated = time.Time{}
		if m.Stage.Canary != nil {
			canary := *m.Stage.Canary
			canary.Percent = 0
			state.Canary = &canary
		}
		m.Stage = &state
	}
	if m.Ref.Weighted() && len(m.Aliases) > 0 {
		alias := m.Aliases[0]
		alias.Weights, alias.Revision = maps.Clone(alias.Weights), ""
		for version := range alias.Weights {
			alias.Weights[version] = 0
		}
		m.Aliases = append([]stage.Alias{alias}, m.Aliases[1:]...)
	}
	return m
}

// points are a share's percentage, as it was set: 0.29 times 100 is not 29.
func points(share float64) float64 { return math.Round(share*1e8) / 1e6 }

// percentOf is what the canary gets, 0 where there is none.
func percentOf(m stage.Measured) float64 {
	if m.Stage != nil && m.Stage.Canary != nil {
		return m.Stage.Canary.Percent
	}
	if m.Ref.Weighted() && len(m.Aliases) > 0 {
		for _, share := range m.Aliases[0].Weights {
			return points(share)
		}
	}
	return 0
}
