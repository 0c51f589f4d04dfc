package sequential

import "fmt"

// Bound is 2.3: "the rate is at most theta". Errors have theta = the bound itself; "the quantile p is at most x" is the same test
// on the responses slower than x, with theta = 1-p.
type Bound struct {
	pass, fail       Mixture
	toPass, toReject float64 // log 1/alpha, log 1/beta
}

// NewBound wants 0 < theta < 1.
func NewBound(theta float64, l Levels) (Bound, error) {
	if !inside(theta) {
		return Bound{}, fmt.Errorf("bound: theta %v must be above 0 and below 1", theta)
	}
	if err := l.Validate(); err != nil {
		return Bound{}, fmt.Errorf("bound: %w", err)
	}
	grid := Grid(theta, Down, l.Budget, l.pass())
	q := append([]float64{0.3 * theta}, grid...)
	w := append([]float64{0.5}, uniform(len(grid), 0.5)...)
	return Bound{
		pass:     NewMixture(theta, q, w),
		fail:     against(theta, Up, l),
		toPass:   l.pass(),
		toReject: l.fail(),
	}, nil
}

// Pass is log E against "the rate is theta or more". It falls in k for a fixed n and with every hit that is added as an error, so
// what may be an error of this arm (2.3: unattributed errors, pending hits) is added to both k and n.
func (b Bound) Pass(k, n uint64) float64 { return b.pass.Log(k, n) }

// Fail is log E against "the rate is theta or less". It falls with every hit that is added as a success, so what may be a success
// of this arm is added to n.
func (b Bound) Fail(k, n uint64) float64 { return b.fail.Log(k, n) }

// Upper is the least rate that is ruled out from above (2.6), by the tilts of Pass at alpha: rates of Upper or more are excluded;
// 1 while nothing is. At most theta exactly when Pass has reached log 1/alpha.
func (b Bound) Upper(k, n uint64) float64 { return b.pass.above(k, n, b.toPass) }

// Lower is the greatest rate that is ruled out from below, by the tilts of Fail at beta: rates of Lower or less are excluded;
// 0 while nothing is.
func (b Bound) Lower(k, n uint64) float64 { return b.fail.below(k, n, b.toReject) }

// Tempered is the bound for hits that come in blocks of phi alike (see Mixture.Tempered).
func (b Bound) Tempered(phi float64) Bound {
	b.pass, b.fail = b.pass.Tempered(phi), b.fail.Tempered(phi)
	return b
}
