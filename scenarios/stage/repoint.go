package stage

import (
	"context"
	"errors"
)

// Repoint, after a promote, moves the alias that the baseline had to the tested version, waits until its provisioned
// concurrency is ready, and gives the stage the variables back that lead to that alias.
func (c *Client) Repoint(ctx context.Context, j *Journal, ref Ref, judged Measured) (Change, error) {
	return Change{}, errors.New("repoint: not built yet")
}
