package stage

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// position is all that a story can change, as it was read: the stage, which a weighted ref has not, and the aliases that
// it looked at.
type position struct {
	State
	Aliases map[string]Alias `json:"aliases,omitempty"` // by their key
}

// deed is what one request changes: the stage by patch operations, or one alias.
type deed struct {
	ops  []Operation
	move *Move
}

func (d deed) step() Step {
	if d.move != nil {
		return Step{Request: "UpdateAlias", Move: d.move}
	}
	return Step{Request: "UpdateStage", Operations: d.ops}
}

// patch makes one deed of each list of operations.
func patch(patches ...[]Operation) []deed {
	deeds := make([]deed, len(patches))
	for i, ops := range patches {
		deeds[i].ops = ops
	}
	return deeds
}

// position reads the stage, or the weighted alias.
func (c *Client) position(ctx context.Context, ref Ref) (position, error) {
	if ref.Weighted() {
		alias, err := c.readAlias(ctx, ref.Function, ref.Alias)
		return position{}.at(alias), err
	}
	state, err := c.read(ctx, ref)
	return position{State: state}, err
}

// at is the position with this reading of an alias.
func (p position) at(alias Alias) position {
	p.Aliases = maps.Clone(p.Aliases)
	if p.Aliases == nil {
		p.Aliases = map[string]Alias{}
	}
	p.Aliases[alias.key()] = alias
	return p
}

// with is the position as it should be after the deeds.
func (p position) with(deeds ...deed) position {
	for _, d := range deeds {
		p.State = p.State.with(d.ops...)
		if d.move != nil {
			p = p.at(d.move.To)
		}
	}
	return p
}

// differ compares what verbs of this package can change: the stage, and the aliases of the earlier reading.
func (p position) differ(from position) []string {
	changes := p.settingsDiffer(from.State)
	for _, key := range slices.Sorted(maps.Keys(from.Aliases)) {
		was := from.Aliases[key]
		is, known := p.Aliases[key]
		switch {
		case !known:
			changes = append(changes, fmt.Sprintf("alias %s of %s: not read", was.Name, was.Function))
		case !is.routes(was):
			changes = append(changes, is.pointing(was)...)
		}
	}
	return changes
}

// returning are the deeds that make the position what it was. The stage goes first: a repointed stage that goes back to
// the canary's alias must do so before the baseline's alias moves away from the tested version; and one that goes back to
// the baseline's alias meets the tested version there, until that alias moves.
func returning(now, to position) []deed {
	deeds := patch(restoring(now.State, to.State)...)
	for _, key := range slices.Sorted(maps.Keys(to.Aliases)) {
		if is, known := now.Aliases[key]; known && !is.points(to.Aliases[key]) {
			deeds = append(deeds, deed{move: moving(is, to.Aliases[key])})
		}
	}
	return deeds
}

func operations(deeds []deed) []Operation {
	var ops []Operation
	for _, d := range deeds {
		ops = append(ops, d.ops...)
	}
	return ops
}

func moves(deeds []deed) []Move {
	var all []Move
	for _, d := range deeds {
		if d.move != nil {
			all = append(all, *d.move)
		}
	}
	return all
}
