package stage

import (
	"context"
	"fmt"
	"math"
)

// A weighted alias is the second splitter: a share of its invocations goes to another version. Lambda has what a stage
// lacks, a compare-and-set: an alias is moved only if nobody moved it since it was read.

// weightedTarget is Resolve for a weighted alias, whose two sides are versions of one function.
func (c *Client) weightedTarget(ctx context.Context, ref Ref) (Target, error) {
	alias, err := c.readAlias(ctx, ref.Function, ref.Alias)
	if err != nil {
		return Target{}, fmt.Errorf("resolve %s: %w", ref.thing(), err)
	}
	side := func(version string) Side {
		return Side{Function: ref.Function, Qualifier: version, Alias: ref.Alias, Version: version}
	}
	t := Target{Function: ref.Function, BaselineAlias: ref.Alias, BaselineVersion: alias.Version, Baseline: side(alias.Version)}
	if version, share := alias.canary(); version != "" {
		canary := side(version)
		t.Canary = &canary
		t.CanaryFunction, t.CanaryAlias, t.CanaryVersion, t.Share = ref.Function, ref.Alias, version, share
	}
	if err := c.examineBoth(ctx, &t, ""); err != nil {
		return t, fmt.Errorf("resolve %s: %w", ref.thing(), err)
	}
	return t, nil
}

// weighted is the weighted alias, as it was read.
func (p position) weighted(ref Ref) Alias {
	return p.Aliases[Alias{Function: ref.Function, Name: ref.Alias}.key()]
}

// canaryAlias is the weighted alias and its second version, which it must have.
func (p position) canaryAlias(ref Ref) (alias Alias, canary string, err error) {
	alias = p.weighted(ref)
	if canary, _ = alias.canary(); canary == "" {
		err = fmt.Errorf("%w: alias %s of %s is %s, all of it", ErrNoCanary, alias.Name, alias.Function, alias)
	}
	return alias, canary, err
}

// weigh gives the second version another share of the traffic.
func weigh(before *position, ref Ref, p float64) ([]deed, error) {
	alias, canary, err := before.canaryAlias(ref)
	if err != nil {
		return nil, err
	}
	to := alias
	to.Weights = map[string]float64{canary: math.Round(p*1e6) / 1e8}
	if alias.routes(to) {
		return nil, nil
	}
	return []deed{{move: moving(alias, to)}}, nil
}

// alone leaves one version of the alias.
func alone(alias Alias, version string) []deed {
	return []deed{{move: moving(alias, Alias{Version: version})}}
}

// unweighted refuses what a weighted alias has no use for.
func unweighted(ref Ref, why string) error {
	if ref.Weighted() {
		return fmt.Errorf("%s splits by its weights: %s", ref.thing(), why)
	}
	return nil
}
