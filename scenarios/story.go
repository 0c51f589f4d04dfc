package scenarios

import (
	"context"
	"fmt"
	"slices"
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
	Bake     time.Duration     // the canary at 100 %, judged, before it is promoted; 0: none
	Alone    bool              // only asks whether the plan's canary version answers alone; nothing is changed
	Keep     bool              // the canary's settings, at 0 %, after a promote
	Then     Then              // after a promote that traffic confirmed; "": Leave
	Look     time.Duration     // how often the stage is read during the load; 0: every 2 s
	Say      func(line string) // what is done to the stage, for a person

	raised  bool // the canary's percentage may be the bake's
	lowered bool // it may be the breaker's 0
	stopped bool // it is the breaker's 0

	foresee func(stage.Change) error // told of a change before it is sent, and may refuse it
	was     stage.Measured           // before the story's first change
	seen    stage.Measured           // as last read
	seenAt  time.Time
}

// Stage is a stage to be asked before the canary.
type Stage struct {
	Name, URL, Version string
}

// Control is the stage's control plane, with what is under test.
type Control struct {
	Client  *stage.Client
	Ref     stage.Ref
	Journal *stage.Journal // nil: nothing is ever changed
	Live    stage.Measured // under test: what promote must find again
}

// How long undoing may take: it goes on when the run was interrupted. A control plane that throttles is waited for.
const undoing = 3 * time.Minute

// Tell runs the story. Trouble with the tool or its surroundings is the error; what is wrong with the release is in the
// analysis. Whatever happens, a canary that the story made is promoted, held as asked, or removed.
func (s *Story) Tell(ctx context.Context) (analyze.Analysis, error) {
	if s.Control != nil {
		s.begin()
	}
	err := s.tell(ctx)
	end := analyze.End{Reason: "verdict"}
	switch c := s.Recorder.Judge.Conclude(); {
	case ctx.Err() != nil:
		end.Reason = "interrupted"
	case err != nil:
		end = analyze.End{Reason: "error", Error: err.Error()}
	case slices.ContainsFunc(c.Void, func(why string) bool { return strings.Contains(why, "circuit breaker") }):
		end.Reason = "breaker"
	case c.Verdict == analyze.Inconclusive && len(c.Void) == 0:
		end.Reason = "budget"
	}
	analysis, lost := s.Recorder.Finish(end)
	return analysis, also(err, lost)
}

func (s *Story) begin() {
	s.Control.Client.Announce = s.announce
	s.was, s.seen, s.seenAt = s.Control.Live, s.Control.Live, time.Now()
}

func (s *Story) tell(ctx context.Context) error {
	if s.Alone {
		s.after(ctx, analyze.After, s.Plan.Canary, s.Plan.Baseline)
		s.Recorder.Conclude()
		return nil
	}
	s.before(ctx)
	if !s.fit() {
		return nil
	}
	err := s.during(ctx)
	if err == nil && s.Recorder.Judge.Outcome() == analyze.Pass {
		err = s.bake(ctx)
	}
	if err != nil {
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
		plan.Keep = s.kept()
		s.Recorder.Traffic(ctx, plan, map[string]string{"stage": at.Name, "expect": at.Version})
		if ctx.Err() != nil || s.Recorder.Judge.Outcome() != analyze.Pass {
			return
		}
	}
}

// fit reports that the way is free for the canary.
func (s *Story) fit() bool { return len(s.Before) == 0 || s.Recorder.Judge.Outcome() == analyze.Pass }

// during sends traffic until the verdict; the canary is made beside it, so that its arrival is seen.
func (s *Story) during(ctx context.Context) error {
	plan := s.Plan
	plan.Phase = analyze.During
	plan.Duration = time.Duration(s.Policy.MaxDuration)
	return s.load(ctx, plan, s.place(), s.create)
}

// load sends a phase's traffic; beside it the stage is changed, and then watched. A verdict ends the load, but does not
// break off what is being done to the stage: that is what the verdict is about, and will be undone as a whole.
func (s *Story) load(ctx context.Context, plan attack.Plan, detail map[string]string, change func(context.Context) error) error {
	load, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	beside := make(chan error, 1)
	go func() {
		err := change(ctx)
		if err != nil {
			stop(err)
		} else {
			s.watch(load)
		}
		beside <- err
	}()
	plan.Keep = s.kept()
	s.Recorder.Traffic(load, plan, detail)
	stop(nil)
	err := <-beside
	if ctx.Err() != nil {
		err = nil // an interrupt is no error of its own
	}
	err = also(err, s.breaker(ctx))
	if err == nil { // a change since the last look may be what the verdict comes from
		s.look(ctx)
	}
	s.Recorder.tell()
	return err
}

// afterHits is what is kept, of a limited number of requests, for each phase that follows an act: twice what proves,
// without a straggler, that one version alone answers and keeps its bounds.
const afterHits = 2000

// kept is how many requests the phases up to the verdict leave alone.
func (s *Story) kept() uint64 {
	if s.Plan.Budget == nil || s.Act.Promote != Promote && s.Act.Reject != Rollback && s.Act.Inconclusive != Rollback {
		return 0
	}
	if s.Then == Repoint {
		return 2 * afterHits
	}
	return afterHits
}

// place names where a phase is, as its details do; more are pairs of names and values.
func (s *Story) place(more ...string) map[string]string {
	detail := map[string]string{}
	if s.Control != nil {
		detail["stage"] = Splitter(s.Control.Ref)
	}
	for i := 0; i+1 < len(more); i += 2 {
		detail[more[i]] = more[i+1]
	}
	return detail
}

// Splitter is the name of what splits the traffic: a stage, or an alias.
func Splitter(ref stage.Ref) string {
	if ref.Weighted() {
		return ref.Function + ":" + ref.Alias
	}
	return ref.Stage
}

// create makes the canary. What it is going to be is under test from before the first request on: where that is refused
// because another canary was first, the other is not the story's to remove.
func (s *Story) create(ctx context.Context) (err error) {
	if s.Create == nil {
		return nil
	}
	c, r := s.Control, s.Recorder
	r.Note(analyze.CanaryCreated, map[string]string{"percent": fmt.Sprint(s.Create.Percent)})
	if c.Live, err = c.Client.Measure(ctx, c.Ref); err != nil {
		return err
	}
	s.was, s.seen, s.seenAt = c.Live, c.Live, time.Now()
	s.foresee = func(change stage.Change) error { c.Live.Stage = &change.After; return nil }
	defer func() { s.foresee = nil }()
	change, err := c.Client.CreateCanary(ctx, c.Journal, c.Ref, s.Create.Percent, s.Create.Overrides)
	if err != nil {
		return err
	}
	s.say(change)
	if s.Create.Deploy {
		created := change.After
		s.foresee = func(change stage.Change) error { return unlike(change.Before, created) }
		if change, err = c.Client.DeployCanary(ctx, c.Journal, c.Ref, "coalmine canary"); err != nil {
			return err
		}
		s.say(change)
	}
	c.Live.Stage = &change.After // whoever is quicker than the measuring shows
	live, err := c.Client.Measure(ctx, c.Ref)
	if err != nil {
		return err
	}
	live.Stage, c.Live = &change.After, live
	r.Note(analyze.CanaryDeployed, map[string]string{"deployment": change.After.Canary.DeploymentID})
	return nil
}

// unlike refuses a stage that is not as it was just left.
func unlike(now, left stage.State) error {
	left.LastUpdated = time.Time{}
	if changes := now.Differs(left); len(changes) > 0 {
		return fmt.Errorf("%w: %s", stage.ErrChanged, strings.Join(changes, "; "))
	}
	return nil
}

// announce shows a change before its first request.
func (s *Story) announce(change stage.Change) error {
	if s.foresee != nil {
		if err := s.foresee(change); err != nil {
			return err
		}
	}
	s.lines(change.Plan())
	return nil
}

// say shows what a change turned out to be; what it would be was announced before its first request.
func (s *Story) say(change stage.Change) {
	s.saw(change)
	s.lines(change.Results())
}

// saw remembers what the stage was when a change ended, well or not.
func (s *Story) saw(change stage.Change) {
	if change.After.API != "" {
		s.seen.Stage, s.seenAt = &change.After, time.Now()
	}
}

func (s *Story) lines(lines []string) {
	if s.Say == nil {
		return
	}
	for _, line := range lines {
		s.Say(line)
	}
}
