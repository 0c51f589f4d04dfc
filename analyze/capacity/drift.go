package capacity

import "math"

// Drift says whether the target is the same over the search.
type Drift int8

const (
	Steady Drift = iota
	Worse        // rates that held fail later
	Better       // rates that failed hold later
)

var drifting = [...]string{"steady", "worse", "better"}

func (d Drift) String() string { return drifting[d] }

// MarshalText writes steady, worse or better.
func (d Drift) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *Drift) UnmarshalText(text []byte) error {
	return known(text, drifting[:], (*int8)(d), "drift")
}

// drifts weighs a capacity that moved evenly over the search against one that stayed: by how much better that explains what came of
// all trials, some of which were disturbed.
func drifts(done []Done, p *Plan) Drift {
	if !contradictory(done) {
		return Steady
	}
	much := believe(done, p, 0).weight() + math.Log(betterBy)
	for _, by := range [...]float64{0.1, 0.2, 0.4, 0.8} { // of the logarithm
		worse, better := believe(done, p, -by).weight(), believe(done, p, by).weight()
		switch {
		case worse > max(much, better):
			return Worse
		case better > max(much, worse):
			return Better
		}
	}
	return Steady
}

const betterBy = 1e4 // times more likely

// contradictory reports that a rate held though one that is no higher failed.
func contradictory(done []Done) bool {
	held, failed := 0.0, math.Inf(1)
	for _, d := range done {
		switch d.Outcome {
		case Pass:
			held = max(held, d.Rate)
		case Fail, Limited:
			failed = min(failed, d.Rate)
		}
	}
	return held >= failed
}
