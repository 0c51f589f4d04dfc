package stage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
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
)

// undoTime bounds an undo that no caller waits for any more.
const undoTime = 30 * time.Second

// act is one verb under way.
type act struct {
	c      *Client
	j      *Journal
	change Change
	state  State // the stage as last read
	first  bool  // no step journaled yet

	// back is set on the way back. What that needs is on disk since the story
	// began: a journal that cannot be written any more (a full disk) is then a
	// note, and leaving the canary live would be worse.
	back bool
}

// A plan says which patches a verb needs on the stage as it is, or refuses.
type plan func(before State) ([][]Operation, error)

// perform is a verb that only patches the stage, and goes back when the
// control plane does something else than it was asked.
func (c *Client) perform(ctx context.Context, j *Journal, verb string, ref Ref, p plan) (Change, error) {
	a, patches, err := c.prepare(ctx, j, verb, ref, p)
	if err == nil {
		err = a.patchOrUndo(ctx, patches)
	}
	return a.result(err)
}

// prepare reads, plans, announces and opens the story: after it nothing has
// been sent that changes anything.
func (c *Client) prepare(ctx context.Context, j *Journal, verb string, ref Ref, p plan) (*act, [][]Operation, error) {
	a := &act{c: c, j: j, change: Change{Verb: verb, Ref: ref}, first: true}
	a.back = verb == verbAbort || verb == verbRollback || verb == verbRestore
	before, err := c.read(ctx, ref)
	if err != nil {
		return a, nil, err
	}
	a.state, a.change.Before, a.change.After = before, before, before
	patches, err := p(before)
	if err != nil || len(patches) == 0 {
		return a, nil, err
	}
	if c.Announce != nil {
		planned := a.change
		planned.Operations = flatten(patches)
		planned.After = before.with(planned.Operations...)
		if err := c.Announce(planned); err != nil {
			return a, nil, err
		}
	}
	if err := j.about(c, ref); err != nil {
		return a, nil, err
	}
	return a, patches, a.journaled(j.begin(ref, before))
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
	a.change.After = a.state
	if err != nil {
		return a.change, fmt.Errorf("%s on %s: %w", a.change.Verb, a.change.Ref.Stage, err)
	}
	return a.change, nil
}

// patch sends the patches one by one, reading the stage back after each.
func (a *act) patch(ctx context.Context, patches [][]Operation) error {
	for _, ops := range patches {
		want := a.state.with(ops...)
		err := a.step(ctx, Step{Request: "UpdateStage", Operations: ops}, func(ctx context.Context) (Outcome, error) {
			return a.update(ctx, ops, want)
		})
		if err != nil {
			return err
		}
		a.change.Operations = append(a.change.Operations, ops...)
	}
	return nil
}

// patchOrUndo is patch, and the stage as it was when a patch was not taken.
func (a *act) patchOrUndo(ctx context.Context, patches [][]Operation) error {
	err := a.patch(ctx, patches)
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
		s.Before, a.first = &a.change.Before, false
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

// update sends one patch and compares the stage with what it should be then.
// What was answered counts for less than what is there: an error whose patch
// took effect all the same (a lost answer, a repeated remove) is none.
func (a *act) update(ctx context.Context, ops []Operation, want State) (Outcome, error) {
	ref := a.change.Ref
	_, sent := a.c.gateway.UpdateStage(ctx, &apigateway.UpdateStageInput{
		RestApiId: &ref.API, StageName: &ref.Stage, PatchOperations: wire(ops),
	}, uncancelled)
	after, read := a.readBack(ctx, want)
	switch {
	case read != nil && sent != nil:
		return Outcome{}, condense(sent)
	case read != nil:
		return Outcome{}, fmt.Errorf("read back: %w", read)
	}
	a.state = after
	a.j.saw(after)
	diff := after.settingsDiffer(want)
	switch {
	case len(diff) == 0:
		return Outcome{}, nil
	case sent != nil:
		return Outcome{Stage: &after}, condense(sent)
	}
	return Outcome{Stage: &after}, &notTaken{diff: diff}
}

// notTaken is a patch that was answered with success and did something else.
type notTaken struct{ diff []string }

func (e *notTaken) Error() string {
	return fmt.Sprintf("%v: asked -> is there: %s", ErrNotTaken, strings.Join(e.diff, "; "))
}

func (e *notTaken) Unwrap() error { return ErrNotTaken }

// readBack reads the stage after a patch: a little later again where it is not
// what it should be, since no read-after-write promise is documented. It reads
// also when the verb was cancelled meanwhile, so that the journal knows.
func (a *act) readBack(ctx context.Context, want State) (State, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	wait := 500 * time.Millisecond
	if a.c.Loopback() {
		wait = 20 * time.Millisecond
	}
	for attempt := 0; ; attempt++ {
		after, err := a.c.read(ctx, a.change.Ref)
		if err != nil || attempt == 2 || len(after.settingsDiffer(want)) == 0 {
			return after, err
		}
		time.Sleep(wait)
	}
}

// undo puts the stage back after a verb that went wrong halfway, and says how
// that went. It runs though the verb's context may be cancelled.
func (a *act) undo(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	back := &act{c: a.c, j: a.j, back: true, state: a.state, change: Change{Verb: "undo " + a.change.Verb, Ref: a.change.Ref, Before: a.state}}
	err := back.patch(ctx, restoring(a.state, a.change.Before))
	if err == nil {
		err = back.clean(ctx)
	}
	a.state = back.state
	a.change.Operations = append(a.change.Operations, back.change.Operations...)
	a.change.Deleted = back.change.Deleted
	a.change.Notes = append(a.change.Notes, back.change.Notes...)
	if err != nil {
		return fmt.Errorf("%w; undo: %w; the stage is not as it was, see %s", cause, err, a.j.path)
	}
	return fmt.Errorf("%w; undone, the stage is as it was", cause)
}

// clean deletes the deployments that this story made and no stage uses. Those
// of earlier stories stay: they may be what somebody rolls back to.
func (a *act) clean(ctx context.Context) error {
	story := a.j.current()
	if story == nil || !story.made() || a.j.about(a.c, a.change.Ref) != nil {
		return nil
	}
	api := a.change.Ref.API
	stages, err := a.c.gateway.GetStages(ctx, &apigateway.GetStagesInput{RestApiId: &api})
	if err != nil {
		return condense(err)
	}
	used := map[string]bool{story.Before.DeploymentID: true}
	for _, s := range stages.Item {
		used[text(s.DeploymentId)] = true
		if s.CanarySettings != nil {
			used[text(s.CanarySettings.DeploymentId)] = true
		}
	}
	ours, err := a.c.deploymentsOf(ctx, api, *story)
	if err != nil {
		return err
	}
	for _, id := range ours {
		if used[id] {
			continue
		}
		err := a.step(ctx, Step{Request: "DeleteDeployment"}, func(ctx context.Context) (Outcome, error) {
			_, err := a.c.gateway.DeleteDeployment(ctx, &apigateway.DeleteDeploymentInput{RestApiId: &api, DeploymentId: &id}, uncancelled)
			if IsNotFound(err) {
				err = nil // deleted by an attempt whose answer was lost
			}
			return Outcome{Deployment: id}, condense(err)
		})
		if err != nil {
			return err
		}
		a.change.Deleted = append(a.change.Deleted, id)
	}
	return nil
}

// tidy is clean where the stage is what matters: deployments that could not be
// deleted are a note.
func (a *act) tidy(ctx context.Context) {
	if err := a.clean(ctx); err != nil {
		a.change.Notes = append(a.change.Notes, "an unused deployment of coalmine's is left: "+err.Error())
	}
}

// deploymentsOf finds a story's deployments by their description, which also
// finds one whose CreateDeployment was never answered.
func (c *Client) deploymentsOf(ctx context.Context, api string, story Story) ([]string, error) {
	var ids []string
	pages := apigateway.NewGetDeploymentsPaginator(c.gateway, &apigateway.GetDeploymentsInput{RestApiId: &api, Limit: aws.Int32(500)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, condense(err)
		}
		for _, d := range page.Items {
			if strings.HasSuffix(text(d.Description), story.marker()) {
				ids = append(ids, text(d.Id))
			}
		}
	}
	return ids, nil
}

// uncancelled lets an attempt under way finish: one that was given up might
// take effect after its undo. Waiting for the next attempt can be cancelled,
// and the HTTP client's timeout bounds each.
func uncancelled(o *apigateway.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("Uncancelled",
			func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
				return next.HandleFinalize(context.WithoutCancel(ctx), in)
			}), "Retry", middleware.After)
	})
}
