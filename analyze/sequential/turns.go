package sequential

import "fmt"

// Turns is 2.3d: on one connection, do consecutive answers switch between the arms as often as independent routing would make
// them? At share p they switch with probability 2p(1-p). Fully sticky routing is called after 17 transitions (50 % +- 3, budget
// 50,000).
type Turns struct {
	theta float64
	fail  Mixture
}

// TurnsEvidence is the e-value (not its log) at which Turns speaks. It guards the measurement, not a bound, hence a level of its
// own.
const TurnsEvidence = 200

// NewTurns wants what NewSplit wants.
func NewTurns(share, margin float64, l Levels) (Turns, error) {
	low, high, err := band(share, margin)
	if err != nil {
		return Turns{}, fmt.Errorf("turns: %w", err)
	}
	if err := l.Validate(); err != nil {
		return Turns{}, fmt.Errorf("turns: %w", err)
	}
	return turnsWithin(low, high, l), nil
}

// turnsWithin is about a share from low to high, by levels that are valid.
func turnsWithin(low, high float64, l Levels) Turns {
	least := min(2*low*(1-low), 2*high*(1-high)) // 2p(1-p) is concave: least at an edge of the band
	theta := 0.8 * least
	return Turns{theta: theta, fail: against(theta, Down, l)}
}

// Theta is the least switch rate that counts as independent, above 0 and at most .4: .8 of the least over the band.
func (t Turns) Theta() float64 { return t.theta }

// Fail is log E against "the switch rate is Theta or more".
func (t Turns) Fail(switched, same uint64) float64 { return t.fail.Log(switched, switched+same) }
