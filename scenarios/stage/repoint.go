package stage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// Repoint finishes a promote. That leaves the stage on the canary's alias, so that whatever moves this alias next moves
// production. Repoint moves the baseline's alias to the tested version, waits until its provisioned concurrency is ready,
// and then gives the stage the variables back that lead to that alias. In this order every request meets the tested
// version: nobody is sent to the baseline's alias before it is there.
//
// Overrides that name no function stay as they were tested. It refuses, with ErrChanged, when the stage is not as promoted
// or an alias not as judged; when the arms were different functions, since then there is no one alias to move; and when
// the variables lead another method back to another version of its function, which nobody judged.
func (c *Client) Repoint(ctx context.Context, j *Journal, ref Ref, judged Measured) (Change, error) {
	a, deeds, err := c.prepare(ctx, j, verbRepoint, ref, func(before *position) ([]deed, error) {
		return c.repointing(ctx, ref, before, judged)
	})
	for _, d := range deeds {
		if err == nil {
			err = a.doOrUndo(ctx, []deed{d})
		}
		if err == nil && d.move != nil {
			err = a.awaitProvisioned(ctx, d.move.Was)
		}
	}
	return a.result(err)
}

// repointing is the alias's move, unless it was made already, and the variables.
func (c *Client) repointing(ctx context.Context, ref Ref, before *position, judged Measured) ([]deed, error) {
	if err := repointable(ref, judged); err != nil {
		return nil, err
	}
	baseline, canary := judged.Arms[0], judged.Arms[1]
	if baseline.Alias == canary.Alias {
		return nil, nil // the arms were two deployments of one alias
	}
	if err := c.asPromoted(ctx, before, judged); err != nil {
		return nil, err
	}
	variables, err := c.leadingBack(ctx, *before, judged)
	if err != nil {
		return nil, err
	}
	var deeds []deed
	alias := before.Aliases[Alias{Function: baseline.Function, Name: baseline.Alias}.key()]
	if to := (Alias{Version: canary.Version}); !alias.points(to) {
		deeds = append(deeds, deed{move: moving(alias, to)})
	}
	if ops := settingMap(variablesPath, before.Variables, variables); len(ops) > 0 {
		deeds = append(deeds, deed{ops: ops})
	}
	return deeds, nil
}

// repointable refuses what was not judged to have two versions of one function.
func repointable(ref Ref, judged Measured) error {
	switch {
	case ref.Weighted():
		return fmt.Errorf("%s was itself moved by the promote: there is nothing to repoint", ref.thing())
	case !judged.Ref.same(ref):
		return fmt.Errorf("what was judged is another: %s", judged.Ref.thing())
	case judged.Stage == nil || judged.Stage.Canary == nil:
		return fmt.Errorf("what was judged: %w", ErrNoCanary)
	case len(judged.Arms) != 2:
		return errors.New("what was judged does not say which aliases were behind the arms: it must name a path")
	case judged.Arms[0].Function != judged.Arms[1].Function:
		return fmt.Errorf("baseline and canary are different functions, %s and %s: no alias can be moved from one to the other", judged.Arms[0].Function, judged.Arms[1].Function)
	case judged.Arms[0].Alias == "":
		return fmt.Errorf("the baseline is version %s itself, by no alias: there is none to move", judged.Arms[0].Version)
	case slices.ContainsFunc(judged.Aliases, func(a Alias) bool { return len(a.Weights) > 0 }):
		return errors.New("an alias behind the arms splits its own traffic: no one version was tested")
	}
	return nil
}

// asPromoted reads both aliases, and refuses when they or the stage are not what a promote of the judged canary left, or
// a repoint that broke off.
func (c *Client) asPromoted(ctx context.Context, before *position, judged Measured) error {
	var diff []string
	moved := Alias{Version: judged.Arms[1].Version}
	for _, was := range judged.Aliases {
		is, err := c.readInto(ctx, before, was)
		if err != nil {
			return err
		}
		if was.Name != judged.Arms[0].Alias || !is.points(moved) {
			diff = append(diff, is.Differs(was)...)
		}
	}
	codes, err := c.codes(ctx, judged.Codes)
	if err != nil {
		return err
	}
	diff = append(diff, codesDiffer(codes, judged.Codes)...)
	promoted := judged.Stage.with(promotion...)
	now := before.State.clone()
	if now.Canary != nil && now.Canary.Percent == 0 {
		now.Canary = promoted.Canary // kept, or taken away
	}
	if now.Canary == nil {
		promoted.Canary = nil
	}
	for _, key := range keys(promoted.Variables) {
		if now.Variables[key] == judged.Stage.Variables[key] && before.Aliases[judged.baselineKey()].points(moved) {
			delete(promoted.Variables, key) // given back already
			delete(now.Variables, key)
		}
	}
	if diff = append(diff, now.settingsDiffer(promoted)...); len(diff) > 0 {
		return fmt.Errorf("%w: %s", ErrChanged, joined(diff))
	}
	return nil
}

func (m Measured) baselineKey() string {
	return Alias{Function: m.Arms[0].Function, Name: m.Arms[0].Alias}.key()
}

// leadingBack are the stage's variables with those that name functions as they were before the promote.
func (c *Client) leadingBack(ctx context.Context, before position, judged Measured) (map[string]string, error) {
	uses, err := c.uses(ctx, judged.Ref.API, keys(judged.Stage.Canary.Overrides))
	if err != nil {
		return nil, err
	}
	back := maps.Clone(before.Variables)
	for _, u := range uses {
		for _, key := range u.variables() {
			if _, overridden := judged.Stage.Canary.Overrides[key]; !overridden {
				continue
			}
			if was, had := judged.Stage.Variables[key]; had {
				back[key] = was
			} else {
				delete(back, key)
			}
		}
	}
	for _, u := range uses {
		if err := c.leadsTheSame(ctx, u, before, back, judged); err != nil {
			return nil, err
		}
	}
	return back, nil
}

// leadsTheSame refuses variables that give a method another version than it has now.
func (c *Client) leadsTheSame(ctx context.Context, u use, now position, back map[string]string, judged Measured) error {
	function, qualifier, err := u.leads(now.Variables)
	function2, qualifier2, err2 := u.leads(back)
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("%s: %w", u, err)
	}
	var versions [2]string
	for i, at := range []Alias{{Function: function, Name: qualifier}, {Function: function2, Name: qualifier2}} {
		if at.key() == judged.baselineKey() {
			versions[i] = judged.Arms[1].Version // where it is going
		} else if versions[i], err = c.versionOf(ctx, at.Function, at.Name); err != nil {
			return fmt.Errorf("%s: %w", u, err)
		}
	}
	if function != function2 || versions[0] != versions[1] {
		return fmt.Errorf("it would take %s from version %s of %s to version %s of %s, which was not judged: move alias %s there first",
			u, versions[0], function, versions[1], function2, qualifier2)
	}
	return nil
}

// How long provisioned concurrency may take: AWS allocates some hundred environments a minute.
const provisionTime = 15 * time.Minute

// awaitProvisioned waits until what is provisioned for the alias runs the version that it leads to now. Until then the stage
// does not go there, and when it does not come, the alias goes back.
func (a *act) awaitProvisioned(ctx context.Context, alias Alias) error {
	wait := 5 * time.Second
	if a.c.Loopback() {
		wait = 20 * time.Millisecond
	}
	a.fresh = false
	for end := time.Now().Add(provisionTime); ; {
		out, err := a.c.lambda.GetProvisionedConcurrencyConfig(ctx, &lambda.GetProvisionedConcurrencyConfigInput{FunctionName: &alias.Function, Qualifier: &alias.Name})
		what := fmt.Sprintf("provisioned concurrency of %s:%s", alias.Function, alias.Name)
		switch {
		case IsNotFound(err):
			return nil
		case errors.Is(err, context.Canceled):
			return condense(err)
		case err != nil:
			return a.undo(ctx, fmt.Errorf("%s: %w", what, condense(err)))
		case out.Status == types.ProvisionedConcurrencyStatusEnumReady:
			return nil
		case out.Status == types.ProvisionedConcurrencyStatusEnumFailed:
			return a.undo(ctx, fmt.Errorf("%s: FAILED: %s", what, strings.TrimSuffix(text(out.StatusReason), ".")))
		case time.Now().After(end):
			return a.undo(ctx, fmt.Errorf("%s: not ready after %v", what, provisionTime))
		}
		select {
		case <-ctx.Done():
			return condense(ctx.Err())
		case <-time.After(wait):
		}
	}
}
