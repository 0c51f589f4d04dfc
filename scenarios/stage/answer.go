package stage

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/smithy-go/middleware"
)

// answer is what came of a deed's request.
type answer struct {
	err    error  // of the last attempt
	stale  error  // why there was no further attempt: things are no longer what the deed was meant for
	unsure bool   // an attempt that failed may have taken effect all the same
	alias  *Alias // as it was moved
	state  *State // as it was patched
}

// took reports whether the deed did what it should by its own answer, and is not what is there.
func (r answer) took(d deed, want, after position) bool {
	if d.move != nil {
		key := d.move.Was.key()
		return r.alias != nil && r.alias.routes(want.Aliases[key]) && r.alias.Revision != after.Aliases[key].Revision
	}
	return r.state != nil && len(r.state.settingsDiffer(want.State)) == 0
}

// request makes the deed's request. A stage has no compare-and-set, and "copy" promotes whatever is there by then: before
// each further attempt things must be as they were when the deed was decided on.
func (a *act) request(ctx context.Context, d deed, want position) (r answer) {
	r.unsure, r.err = repeat(ctx, a.c.config.Retryer(), func() (err error) {
		r.alias, r.state, err = a.attempt(ctx, d)
		return err
	}, func(bool) (due bool) {
		due, r.stale = a.stillDue(ctx, d, want)
		return due
	})
	return r
}

// stillDue reports whether the deed is still to be done, and may be: everything is as it was when it was decided on.
func (a *act) stillDue(ctx context.Context, d deed, want position) (bool, error) {
	now, err := a.look(ctx, d)
	if err != nil || len(now.differ(want)) == 0 {
		return false, nil
	}
	if diff := now.differ(a.at); len(diff) > 0 {
		if d.partly(a.at, now) {
			return false, nil
		}
		return false, fmt.Errorf("%w: %s", ErrChanged, joined(diff))
	}
	if a.precondition != nil {
		if err := a.precondition(ctx, now); err != nil {
			return false, err
		}
	}
	return true, nil
}

// attempt is one request, which the SDK does not repeat.
func (a *act) attempt(ctx context.Context, d deed) (*Alias, *State, error) {
	if d.move != nil {
		out, err := a.c.lambda.UpdateAlias(ctx, d.move.input(), func(o *lambda.Options) {
			o.Retryer = aws.NopRetryer{}
			o.APIOptions = append(o.APIOptions, uncancelled)
		})
		if err != nil {
			return nil, nil, err
		}
		alias := aliasFrom(d.move.Was.Function, d.move.Was.Name, out.FunctionVersion, out.RoutingConfig, out.RevisionId)
		return &alias, nil, nil
	}
	ref := a.change.Ref
	out, err := a.c.gateway.UpdateStage(ctx, &apigateway.UpdateStageInput{
		RestApiId: &ref.API, StageName: &ref.Stage, PatchOperations: wire(d.ops),
	}, finished, once)
	if err != nil {
		return nil, nil, err
	}
	return nil, &State{
		API: ref.API, Stage: ref.Stage, DeploymentID: text(out.DeploymentId), Variables: out.Variables,
		Canary: canaryFrom(out.CanarySettings), CacheEnabled: out.CacheClusterEnabled,
	}, nil
}

// notTaken is a patch that was answered with success and did something else.
type notTaken struct{ diff []string }

func (e *notTaken) Error() string {
	return fmt.Sprintf("%v: asked -> is there: %s", ErrNotTaken, strings.Join(e.diff, "; "))
}

func (e *notTaken) Unwrap() error { return ErrNotTaken }

// overtaken is a patch that met a stage that somebody else has changed since it was read.
type overtaken struct {
	diff    []string
	theirs  State // as they had made it
	removed bool  // its canary, of which AWS makes an empty one then
	canary  bool  // another one, of which it is not known what percent it had
}

func (e *overtaken) Error() string {
	if e.canary {
		return fmt.Sprintf("%v, right before it was patched: asked -> is there: %s", ErrChanged, joined(e.diff))
	}
	return fmt.Sprintf("%v, right before it was patched: %s", ErrChanged, joined(e.diff))
}

// but says what an undo leaves.
func (e *overtaken) but() string {
	switch {
	case e.removed:
		return " but for its canary, which somebody else has removed"
	case e.canary:
		return " but for somebody else's canary, which is left at 0%"
	}
	return " but for that change"
}

func (e *overtaken) Unwrap() error { return ErrChanged }

// uncancelled lets an attempt under way finish: one that was given up might
// take effect after its undo. Waiting for the next attempt can be cancelled,
// and the HTTP client's timeout bounds each.
func uncancelled(stack *middleware.Stack) error {
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("Uncancelled",
		func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
			return next.HandleFinalize(context.WithoutCancel(ctx), in)
		}), "Retry", middleware.After)
}

// finished is uncancelled as an option of API Gateway's requests.
func finished(o *apigateway.Options) { o.APIOptions = append(o.APIOptions, uncancelled) }

// once keeps the SDK from repeating a request.
func once(o *apigateway.Options) { o.Retryer = aws.NopRetryer{} }
