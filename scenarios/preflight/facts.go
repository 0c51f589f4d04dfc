package preflight

import (
	"context"

	"coalmine/scenarios/stage"
)

// Facts are what the checks judge.
type Facts struct {
	ref    stage.Ref
	target stage.Target
}

// Read asks for what the checks need beyond the target.
func Read(ctx context.Context, c *stage.Client, ref stage.Ref, t stage.Target, p Plan) Facts {
	return Facts{ref: ref, target: t}
}
