package stage

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"coalmine/analyze/strict"
)

// ForeseeRepoint is the change that Repoint would make after a promote of what was judged, or the reason why it would
// refuse. Nothing is changed.
func (c *Client) ForeseeRepoint(ctx context.Context, ref Ref, judged Measured) (Change, error) {
	change := Change{Verb: verbRepoint, Ref: ref}
	refuse := func(err error) (Change, error) {
		return change, fmt.Errorf("%s on %s: %w", change.Verb, ref, err)
	}
	if err := repointable(ref, judged); err != nil {
		return refuse(err)
	}
	promoted := position{State: judged.Stage.with(slices.Concat(promotion, []Operation{remove(canaryPath)})...)}
	deeds, err := c.repointing(ctx, ref, &promoted, judged)
	if err != nil {
		return refuse(err)
	}
	change.Before, change.After = promoted.State, promoted.with(deeds...).State
	change.Operations, change.Moves = operations(deeds), moves(deeds)
	return change, nil
}

// CheckOverrides refuses stage variable overrides for a canary as CreateCanary does, and one that is probably misspelt:
// the stage has no such variable but one of nearly that name, and no method's function is named by it. What a person
// should know is a note.
func (c *Client) CheckOverrides(ctx context.Context, ref Ref, overrides map[string]string) (notes []string, err error) {
	if ref.Weighted() || len(overrides) == 0 {
		return nil, nil
	}
	state, err := c.Read(ctx, ref)
	if err != nil {
		return nil, err
	}
	for _, key := range keys(overrides) {
		near := strict.Nearest(key, keys(state.Variables))
		if _, set := state.Variables[key]; set || near == "" {
			continue
		}
		switch uses, err := c.uses(ctx, ref.API, []string{key}); {
		case IsDenied(err): // leadSomewhere says so
		case err != nil:
			return nil, err
		case len(uses) == 0:
			return nil, fmt.Errorf("stage %s has no variable %s, and no method's function is named by it: want %s, or set %[2]s on the stage first if it is meant", ref, key, near)
		}
	}
	return c.leadSomewhere(ctx, state, overrides)
}

// nearAlias names the alias that was probably meant, "" where it is not known.
func (c *Client) nearAlias(ctx context.Context, function, name string) string {
	var names []string
	pages := lambda.NewListAliasesPaginator(c.lambda, &lambda.ListAliasesInput{FunctionName: &function})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return ""
		}
		for _, alias := range page.Aliases {
			names = append(names, text(alias.Name))
		}
	}
	return strict.Nearest(name, names)
}
