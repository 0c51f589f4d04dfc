package capacity

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

// drifts looks for contradictions that all point the same way in time. Noise contradicts itself in both directions, and a
// single trial that was disturbed contradicts others alone, so it takes two on either side, and of fails three: a
// disturbance makes fails. A pass counts at full length only, because a short one may just have ended before the queue
// was full; unless it was a tenth higher than what fails now.
func drifts(done []Done) Drift {
	var held, brokenLater, broken, heldLater [mostTrials]bool
	for j, later := range done {
		for i, earlier := range done[:j] {
			switch {
			case holds(earlier, later.Rate) && fails(later) && later.Rate <= earlier.Rate:
				held[i], brokenLater[j] = true, true
			case fails(earlier) && holds(later, later.Rate) && later.Rate >= earlier.Rate:
				broken[i], heldLater[j] = true, true
			}
		}
	}
	worse, better := min(count(held), count(brokenLater)), min(count(broken)-1, count(heldLater))
	switch {
	case worse >= 2 && count(broken) == 0:
		return Worse
	case better >= 2 && count(held) == 0:
		return Better
	}
	return Steady
}

func holds(d Done, rate float64) bool {
	return d.Outcome == Pass && (d.Purpose == Confirm || d.Purpose == Soak || d.Rate >= 1.1*rate)
}

func fails(d Done) bool { return d.Outcome == Fail || d.Outcome == Limited }

func count(marks [mostTrials]bool) (n int) {
	for _, m := range marks {
		if m {
			n++
		}
	}
	return n
}
