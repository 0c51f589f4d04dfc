package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/smithy-go/middleware"
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
	first  bool      // no step journaled yet
	judged *Measured // what a promote is bound to

	// back is set on the way back. What that needs is on disk since the story
	// began: a journal that cannot be written any more (a full disk) is then a
	// note, and leaving the canary live would be worse.
	back bool
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

// journaled is what becomes of an error of the journal.
func (a *act) journaled(err error) error {
	if err == nil || !a.back {
		return err
	}
	if note := "not journaled: " + err.Error(); !slices.Contains(a.change.Notes, note) {
		a.change.Notes = append(a.change.Notes, note)
	}
	return nil
}

func (a *act) result(err error) (Change, error) {
	a.change.After = a.at.State
	if err != nil {
		return a.change, fmt.Errorf("%s on %s: %w", a.change.Verb, a.change.Ref, err)
	}
	return a.change, nil
}

// do sends the deeds one by one, reading back after each.
func (a *act) do(ctx context.Context, deeds []deed) error {
	for _, d := range deeds {
		err := a.step(ctx, d.step(), func(ctx context.Context) (Outcome, error) { return a.send(ctx, d) })
		if err != nil {
			return err
		}
		a.change.Operations = append(a.change.Operations, d.ops...)
		a.change.Moves = append(a.change.Moves, moves([]deed{d})...)
	}
	return nil
}

// doOrUndo is do, and everything as it was when a deed was not taken.
func (a *act) doOrUndo(ctx context.Context, deeds []deed) error {
	err := a.do(ctx, deeds)
	if errors.Is(err, ErrNotTaken) {
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
	if err := a.journaled(a.j.step(s)); err != nil {
		return err
	}
	outcome, err := request(ctx)
	if err == nil {
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
func (a *act) send(ctx context.Context, d deed) (Outcome, error) {
	want := a.at.with(d)
	attempts, answered, sent := a.request(ctx, d)
	after, read := a.readBack(ctx, d, want)
	switch {
	case read != nil && sent != nil:
		return Outcome{}, condense(sent)
	case read != nil:
		return Outcome{}, fmt.Errorf("read back: %w", read)
	}
	a.at = after
	a.j.saw(after)
	diff := after.differ(want)
	if len(diff) == 0 {
		return Outcome{}, nil
	}
	found := Outcome{Stage: &after.State}
	if d.move != nil {
		alias := after.Aliases[d.move.Was.key()]
		found = Outcome{Alias: &alias}
	}
	switch {
	case answered != nil && answered.routes(want.Aliases[answered.key()]) && found.Alias.Revision != answered.Revision:
		// It did, and somebody moved it on at once: that is theirs, and not undone.
		return Outcome{}, fmt.Errorf("%w, right after it was moved: %s", ErrChanged, joined(found.Alias.pointing(*answered)))
	case hasCode(sent, "PreconditionFailedException"):
		// Somebody moved the alias since it was read, and AWS did nothing. A
		// repeated request may have been refused for what its own first attempt did.
		if attempts == 1 {
			found = Outcome{Refused: true}
		}
		return found, fmt.Errorf("%w: %w", ErrChanged, condense(sent))
	case sent != nil:
		return found, condense(sent)
	}
	return found, &notTaken{diff: diff}
}

// request also says how often it was made, and what a moved alias is by its answer.
func (a *act) request(ctx context.Context, d deed) (attempts int, answered *Alias, err error) {
	count := uncancelled(&attempts)
	if d.move != nil {
		out, err := a.c.lambda.UpdateAlias(ctx, d.move.input(), func(o *lambda.Options) { o.APIOptions = append(o.APIOptions, count) })
		if err == nil {
			alias := aliasFrom(d.move.Was.Function, d.move.Was.Name, out.FunctionVersion, out.RoutingConfig, out.RevisionId)
			answered = &alias
		}
		return attempts, answered, err
	}
	ref := a.change.Ref
	_, err = a.c.gateway.UpdateStage(ctx, &apigateway.UpdateStageInput{
		RestApiId: &ref.API, StageName: &ref.Stage, PatchOperations: wire(d.ops),
	}, func(o *apigateway.Options) { o.APIOptions = append(o.APIOptions, count) })
	return attempts, nil, err
}

// notTaken is a patch that was answered with success and did something else.
type notTaken struct{ diff []string }

func (e *notTaken) Error() string {
	return fmt.Sprintf("%v: asked -> is there: %s", ErrNotTaken, strings.Join(e.diff, "; "))
}

func (e *notTaken) Unwrap() error { return ErrNotTaken }

// readBack reads what the deed was about: a little later again where it is not
// what it should be, since no read-after-write promise is documented. It reads
// also when the verb was cancelled meanwhile, so that the journal knows.
func (a *act) readBack(ctx context.Context, d deed, want position) (position, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	wait := 500 * time.Millisecond
	if a.c.Loopback() {
		wait = 20 * time.Millisecond
	}
	for attempt := 0; ; attempt++ {
		after, err := a.look(ctx, d)
		if err != nil || attempt == 2 || len(after.differ(want)) == 0 {
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
	back := &act{c: a.c, j: a.j, back: true, at: a.at, change: Change{Verb: "undo " + a.change.Verb, Ref: a.change.Ref, Before: a.at.State}}
	err := back.do(ctx, returning(a.at, a.before))
	if err == nil {
		err = back.clean(ctx)
	}
	a.at = back.at
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
	return fmt.Errorf("%w; undone, the %s is as it was", cause, thing)
}

// uncancelled lets an attempt under way finish: one that was given up might
// take effect after its undo. Waiting for the next attempt can be cancelled,
// and the HTTP client's timeout bounds each. It counts the attempts.
func uncancelled(attempts *int) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("Uncancelled",
			func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
				*attempts++
				return next.HandleFinalize(context.WithoutCancel(ctx), in)
			}), "Retry", middleware.After)
	}
}

// finished is uncancelled as an option of API Gateway's requests.
func finished(o *apigateway.Options) {
	o.APIOptions = append(o.APIOptions, uncancelled(new(int)))
}
