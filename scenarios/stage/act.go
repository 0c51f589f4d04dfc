package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	verbCreate   = "create canary"
	verbPercent  = "set canary percent"
	verbDeploy   = "deploy canary"
	verbPromote  = "promote canary"
	verbAbort    = "abort canary"
	verbRollback = "roll back"
	verbRestore  = "restore"
	verbRepoint  = "repoint"
)

// undoTime bounds an undo that no caller waits for any more: some requests, each
// of which may be throttled.
const undoTime = 2 * time.Minute

// act is one verb under way.
type act struct {
	c      *Client
	j      *Journal
	change Change
	before position
	at     position  // as last read
	fresh  bool      // at was read a moment ago, and nothing was asked or waited for since
	first  bool      // no step journaled yet
	judged *Measured // what a promote is bound to

	// precondition, where there is one, is what else must be so before a request is repeated.
	precondition func(context.Context, position) error

	// back is set on the way back: see journaled.
	back bool
	met  []string // somebody else's changes, beside the way back
}

// A plan says what a verb needs to do from where things are, or refuses. It
// adds the readings of the aliases that it is going to move.
type plan func(before *position) ([]deed, error)

// perform is a verb that needs nothing but its deeds, and goes back when the
// control plane does something else than it was asked.
func (c *Client) perform(ctx context.Context, j *Journal, verb string, ref Ref, p plan) (Change, error) {
	a, deeds, err := c.prepare(ctx, j, verb, ref, p)
	if err == nil {
		err = a.doOrUndo(ctx, deeds)
	}
	return a.result(err)
}

// prepare reads, plans, announces and opens the story: after it nothing has
// been sent that changes anything.
func (c *Client) prepare(ctx context.Context, j *Journal, verb string, ref Ref, p plan) (*act, []deed, error) {
	a := &act{c: c, j: j, change: Change{Verb: verb, Ref: ref}, first: true}
	a.back = verb == verbAbort || verb == verbRollback || verb == verbRestore
	before, err := c.position(ctx, ref)
	if err != nil {
		return a, nil, err
	}
	deeds, err := p(&before)
	a.before, a.at, a.change.Before = before, before, before.State
	if err != nil || len(deeds) == 0 {
		return a, nil, err
	}
	if c.Announce != nil {
		planned := a.change
		planned.Operations, planned.Moves = operations(deeds), moves(deeds)
		planned.After = before.with(deeds...).State
		if err := c.Announce(planned); err != nil {
			return a, nil, err
		}
	}
	if err := j.about(c, ref); err != nil {
		return a, nil, err
	}
	return a, deeds, a.journaled(j.begin(ref, before.State))
}

// journaled is what becomes of an error of the journal. On the way back within
// a story it is a note: what that needs is on disk since the story's first step,
// and leaving the canary live because the disk is full would be worse. So it is
// of any abort, the emergency brake, which puts no other release in place. What
// else would begin a story, a rollback by hand too, is refused.
func (a *act) journaled(err error) error {
	if err == nil || !a.back || a.change.Verb != verbAbort && !a.j.current().begun() {
		return err
	}
	if note := "not journaled: " + err.Error(); !slices.Contains(a.change.Notes, note) {
		a.change.Notes = append(a.change.Notes, note)
	}
	return nil
}

func (a *act) result(err error) (Change, error) {
	a.change.After = a.at.State
	if err == nil {
		return a.change, nil
	}
	err = fmt.Errorf("%s on %s: %w", a.change.Verb, a.change.Ref, err)
	if a.change.Touched {
		err = Touched{err}
	}
	return a.change, err
}

// do sends the deeds one by one, reading back after each.
func (a *act) do(ctx context.Context, deeds []deed) error {
	for _, d := range deeds {
		err := a.step(ctx, d.step(), func(ctx context.Context) (Outcome, error) {
			outcome, err := a.send(ctx, d)
			// The way back goes to its end: what somebody else changed beside it does not make the canary any better.
			if met := beside(err); a.back && met != nil {
				a.met = append(a.met, met.diff...)
				a.change.Notes = append(a.change.Notes, met.Error()+": that is left so")
				err = nil
			}
			return outcome, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// did notes a deed that took effect.
func (a *act) did(d deed) {
	a.change.Operations = append(a.change.Operations, d.ops...)
	a.change.Moves = append(a.change.Moves, moves([]deed{d})...)
}

// beside is the error of a patch that did all it should, beside a change of somebody else's that it did not touch.
func beside(err error) *overtaken {
	var met *overtaken
	if errors.As(err, &met) && !met.removed && !met.canary {
		return met
	}
	return nil
}

// doOrUndo is do, and everything as it was when a deed was not taken, or met what is somebody else's. What did all it
// should beside a change of theirs is undone only where that stage had to be the one that was judged.
func (a *act) doOrUndo(ctx context.Context, deeds []deed) error {
	err := a.do(ctx, deeds)
	var met *overtaken
	switch {
	case beside(err) != nil && a.change.Verb != verbPromote && a.change.Verb != verbRepoint:
		return err
	case errors.Is(err, ErrNotTaken), errors.As(err, &met):
		return a.undo(ctx, err)
	}
	return err
}

// step journals a request before and after it is made.
func (a *act) step(ctx context.Context, s Step, request func(context.Context) (Outcome, error)) error {
	if err := ctx.Err(); err != nil {
		return condense(err)
	}
	s.Verb = a.change.Verb
	if a.first {
		s.Before, s.Judged, a.first = &a.change.Before, a.judged, false
	}
	begun := a.j.step(s)
	if err := a.journaled(begun); err != nil {
		return err
	}
	touched := a.change.Touched
	a.change.Touched = true
	outcome, err := request(ctx)
	if err != nil && outcome.Refused {
		a.change.Touched = touched
	}
	switch {
	case begun != nil: // its outcome would be that of the step before
		return err
	case err == nil:
		return a.journaled(a.j.done(outcome))
	}
	outcome.Error = err.Error()
	if jerr := a.journaled(a.j.failed(outcome)); jerr != nil {
		return fmt.Errorf("%w; %w", err, jerr)
	}
	return err
}

// send makes one deed's request and compares what is there with what should be
// then. What was answered counts for less than what is there: an error whose
// change took effect all the same (a lost answer, a repeated remove) is none.
// What somebody else made of it is not recorded as found: it is nothing that
// the step can have left, and nobody's to undo.
func (a *act) send(ctx context.Context, d deed) (Outcome, error) {
	was, want := a.at, a.at.with(d)
	if err := a.unchanged(ctx, d); err != nil {
		return Outcome{Refused: true}, err
	}
	r := a.request(ctx, d, want)
	after, read := a.readBack(ctx, d, want, r)
	switch {
	case read != nil && r.err != nil:
		return Outcome{Refused: !r.unsure && unheard(r.err)}, condense(r.err)
	case read != nil:
		return Outcome{}, fmt.Errorf("read back: %w", read)
	}
	diff, moved := after.differ(want), after.differ(was)
	took := r.err == nil && r.took(d, want, after)
	if took && len(diff) > 0 && len(moved) == 0 { // what is there is not known, and not to be undone
		return Outcome{}, fmt.Errorf("it was %s, says the answer, and still reads as before: %s", d.done(), joined(diff))
	}
	a.at, a.fresh = after, true
	a.j.saw(after)
	if len(diff) == 0 {
		a.did(d)
		return Outcome{}, nil
	}
	if d.partly(was, after) {
		r.unsure = true
	}
	switch {
	case took:
		// It did, and somebody changed it at once: that is theirs, and not undone.
		a.did(d)
		return Outcome{}, fmt.Errorf("%w, right after it was %s: %s", ErrChanged, d.done(), joined(diff))
	case r.err == nil:
		if e := d.overtaken(was, want, after); e != nil {
			if beside(e) != nil {
				a.did(d)
			}
			return e.found(), e
		}
		return d.found(after), &notTaken{diff: diff}
	case r.stale != nil:
		return Outcome{Refused: !r.unsure}, r.stale
	case hasCode(r.err, "PreconditionFailedException"):
		// Somebody moved the alias since it was read, and AWS did nothing.
		return Outcome{Refused: !r.unsure}, fmt.Errorf("%w: %w", ErrChanged, condense(r.err))
	case len(moved) > 0 && !d.partly(was, after):
		return Outcome{Refused: !r.unsure}, fmt.Errorf("%w: %s; %w", ErrChanged, joined(moved), condense(r.err))
	}
	found := d.found(after)
	found.Refused = !r.unsure
	return found, condense(r.err)
}

// unchanged refuses a stage that is not as it was read. That may be long ago: a plan asks for more, which a control plane
// that throttles answers late, and provisioned concurrency takes minutes. An alias has its compare-and-set.
func (a *act) unchanged(ctx context.Context, d deed) error {
	if a.fresh || d.move != nil {
		return nil
	}
	now, err := a.look(ctx, d)
	if err != nil {
		return err
	}
	if diff := now.differ(a.at); len(diff) > 0 {
		return fmt.Errorf("%w: %s", ErrChanged, joined(diff))
	}
	return nil
}

// found is what is there after an error.
func (d deed) found(after position) Outcome {
	if d.move == nil {
		return Outcome{Stage: &after.State}
	}
	alias := after.Aliases[d.move.Was.key()]
	return Outcome{Alias: &alias}
}

func (d deed) done() string {
	if d.move != nil {
		return "moved"
	}
	return "patched"
}

// partly reports whether what is there is what some of the operations make of what was.
func (d deed) partly(was, after position) bool {
	for n := 1; n < len(d.ops); n++ {
		part := was.with(deed{ops: d.ops[:n]})
		if len(after.differ(part)) == 0 && len(part.differ(was)) > 0 {
			return true
		}
	}
	return false
}

// overtaken is what somebody else had done to the stage right before the operations, if that explains what is there.
func (d deed) overtaken(was, want, after position) *overtaken {
	if d.move != nil {
		return nil
	}
	theirs := was.State.under(after.State, d.ops)
	gone := theirs
	gone.Canary = nil
	explains := func(s State) bool { return len(after.settingsDiffer(s.with(d.ops...))) == 0 }
	switch {
	case was.Canary != nil && after.Canary != nil && explains(gone):
		return &overtaken{diff: gone.settingsDiffer(was.State), theirs: gone, removed: true}
	case d.othersCanary(want, after), was.Canary == nil && after.Canary != nil && explains(after.State) && !explains(theirs):
		if was.Canary == nil { // a create has changed the one that was made right before it
			theirs.Canary = after.State.without(overridesPath, d.ops).Canary
		}
		theirs.Canary.Percent = 0 // nobody judged it, and what it had is not known
		return &overtaken{diff: after.differ(want), theirs: theirs, canary: true}
	case explains(theirs):
		return &overtaken{diff: theirs.settingsDiffer(was.State), theirs: theirs}
	}
	return nil
}

// found is what the step left of somebody else's.
func (e *overtaken) found() Outcome {
	if e.canary {
		return Outcome{Others: e.theirs.Canary.DeploymentID}
	}
	return Outcome{}
}

// othersCanary reports whether the operations met a canary that is not the one they were made for.
func (d deed) othersCanary(want, after position) bool {
	return want.Canary != nil && after.Canary != nil && want.Canary.DeploymentID != after.Canary.DeploymentID &&
		!slices.ContainsFunc(d.ops, func(op Operation) bool { return op.Path == canaryDeploy })
}

// readBack reads what the deed was about: a little later again where it is not
// what it should be, since no read-after-write promise is documented. It reads
// also when the verb was cancelled meanwhile, so that the journal knows.
func (a *act) readBack(ctx context.Context, d deed, want position, r answer) (position, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	wait := 500 * time.Millisecond
	if a.c.Loopback() {
		wait = 20 * time.Millisecond
	}
	for attempt := 0; ; attempt++ {
		after, err := a.look(ctx, d)
		if err != nil || attempt == 2 || len(after.differ(want)) == 0 || r.err != nil && !r.unsure {
			return after, err
		}
		time.Sleep(wait)
	}
}

// look is the position with a fresh reading of what the deed is about.
func (a *act) look(ctx context.Context, d deed) (position, error) {
	now := a.at
	if d.move != nil {
		alias, err := a.c.readAlias(ctx, d.move.Was.Function, d.move.Was.Name)
		return now.at(alias), err
	}
	state, err := a.c.read(ctx, a.change.Ref)
	now.State = state
	return now, err
}

// undo puts everything back after a verb that went wrong halfway, and says how
// that went. It runs though the verb's context may be cancelled.
func (a *act) undo(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	back := &act{c: a.c, j: a.j, back: true, at: a.at, fresh: a.fresh, change: Change{Verb: "undo " + a.change.Verb, Ref: a.change.Ref, Before: a.at.State}}
	to, but := a.before, ""
	var met *overtaken
	if errors.As(cause, &met) {
		to.State, but = met.theirs, met.but()
	}
	err := back.do(ctx, returning(a.at, to))
	if err == nil && (met == nil || !met.canary) {
		err = back.clean(ctx)
	}
	a.at = back.at
	a.change.undone = &undone{from: len(a.change.Operations), moves: len(a.change.Moves)}
	a.change.Operations = append(a.change.Operations, back.change.Operations...)
	a.change.Moves = append(a.change.Moves, back.change.Moves...)
	a.change.Deleted = back.change.Deleted
	a.change.Notes = append(a.change.Notes, back.change.Notes...)
	thing := "stage"
	if a.change.Ref.Weighted() {
		thing = "alias"
	}
	if err != nil {
		return fmt.Errorf("%w; undo: %w; the %s is not as it was, see %s", cause, err, thing, a.j.path)
	}
	if len(back.met) > 0 {
		but += ", and but for what somebody else changed meanwhile: " + joined(back.met)
	}
	if beside(cause) != nil { // nothing of ours is left
		a.change.Touched = false
		a.j.onlyTheirs(a.before)
	}
	return fmt.Errorf("%w; undone, the %s is as it was%s", cause, thing, but)
}
