package sequential

import (
	"fmt"
	"math"
)

// CleanRun is 2.7: before (no canary yet) or after (only the canary left), the wrong version's share is below epsilon.
type CleanRun struct{ pass Mixture }

// NewCleanRun wants epsilon and alpha above 0 and below 1.
func NewCleanRun(epsilon, alpha float64) (CleanRun, error) {
	if !inside(epsilon) {
		return CleanRun{}, fmt.Errorf("clean run: epsilon %v must be above 0 and below 1", epsilon)
	}
	if !inside(alpha) {
		return CleanRun{}, fmt.Errorf("clean run: alpha %v must be above 0 and below 1", alpha)
	}
	// The grid's budget: a hundred times what a clean run takes. A phase that long with strays is settled by the deadline.
	budget := 100 * min(CleanRunLength(epsilon, alpha), math.MaxUint64/100)
	grid := Grid(epsilon, Down, budget, -math.Log(alpha))
	q := append([]float64{0}, grid...)
	w := append([]float64{0.5}, uniform(len(grid), 0.5)...)
	return CleanRun{NewMixture(epsilon, q, w)}, nil
}

// Log is log E against "the share is epsilon or more", after k responses of n that were, or may have been (they name no version),
// the wrong version's. With k = 0 it needs some 10 to 15 % more responses than CleanRunLength: the price of an answer for k > 0.
// A phase is judged by the one or by the other, chosen beforehand; "whichever comes first" would err with 2 alpha.
func (c CleanRun) Log(k, n uint64) float64 { return c.pass.Log(k, n) }

// CleanRunLength is the number of responses, none of them the wrong version's, after which "the share is epsilon or more" is
// rejected at alpha: log(1/alpha) / -log(1-epsilon), rounded up. 1 % takes 299 at .05 and 459 at .01. Arguments outside (0,1)
// prove nothing at any length: the greatest uint64.
func CleanRunLength(epsilon, alpha float64) uint64 {
	length := math.Ceil(math.Log(alpha) / math.Log1p(-epsilon))
	if !inside(epsilon) || !inside(alpha) || length >= math.MaxInt64/100 {
		return math.MaxUint64
	}
	return uint64(length)
}

// RunAlpha is what the j-th clean run of the after phase (j = 1, 2, ...) may spend: alpha/(j(j+1)), which adds up to alpha over all
// runs, as a straggler ends a run and the next begins. At epsilon 1 % and alpha .05: 368, 477, 546, ... responses.
func RunAlpha(alpha float64, j int) float64 { return alpha / (float64(j) * float64(j+1)) }
