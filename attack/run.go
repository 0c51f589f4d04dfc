package attack

import (
	"context"
	"iter"
)

// Run sends the load of p, which must be valid, while the loop over its windows runs.
func Run(ctx context.Context, p Plan) iter.Seq[Window] { return func(yield func(Window) bool) {} }
