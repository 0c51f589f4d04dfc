package analyze

import (
	"strings"
	"time"

	"coalmine/analyze/capacity"
)

// Contest is two searches for a capacity set side by side.
type Contest struct {
	A        Contender `json:"a"`
	B        Contender `json:"b"`
	SetUp    []string  `json:"set_up"`  // what was not the same to begin with
	Change   Interval  `json:"change"`  // of the capacity from A to B as a ratio, as far as proven bounds tell
	Differs  bool      `json:"differs"` // by proven bounds
	Sentence string    `json:"sentence"`
}

// Contender is a search in a few numbers. Rates are those of the arm that was asked for, of the whole stage else.
type Contender struct {
	File    string        `json:"file,omitempty"`
	Started time.Time     `json:"started"`
	Kind    capacity.Kind `json:"kind"`
	Whose   string        `json:"whose"`                 // stage, baseline or canary
	Version string        `json:"version,omitempty"`     // of that arm
	Held    float64       `json:"held_per_s,omitzero"`   // proven; 0: nothing is
	Failed  float64       `json:"failed_per_s,omitzero"` // proven of the target, and no quota's; 0: nothing is
	Took    time.Duration `json:"took_ns"`
	Says    string        `json:"sentence"`
}

func (r Rated) contender() Contender {
	c := Contender{Started: r.Header.Started, Kind: r.Result.Kind, Whose: r.Rating.Arm, Version: r.Rating.Version, Took: r.Result.Took, Says: r.Sentence}
	share := r.Rating.Share()
	if lower := r.Result.Lower; lower != nil && lower.Proven && r.tells() {
		c.Held = sixDigits(lower.Rate * share)
	}
	kind := r.Result.Kind
	if upper := r.Result.Upper; upper != nil && upper.Proven && r.tells() && kind != capacity.Quota && kind != capacity.Generator {
		c.Failed = sixDigits(upper.Rate * share)
	}
	return c
}

// tells reports that the bounds are of one target.
func (r Rated) tells() bool { return r.End.Reason != EndChanged && r.Result.Kind != capacity.Drifting }

// CompareRated sets b beside a: one carries more where what it is proven to hold is more than what the other is proven to
// fail at.
func CompareRated(a, b Rated) Contest {
	c := Contest{A: a.contender(), B: b.contender(), SetUp: setUp(a.Header, b.Header)}
	asked := func(r Rated) string {
		var all []string
		for _, o := range r.Rating.Objectives {
			all = append(all, o.String())
		}
		return strings.Join(all, " and ") + " of the " + r.Rating.Arm
	}
	if was, is := asked(a), asked(b); was != is {
		c.SetUp = append([]string{"objectives: " + was + ", then " + is}, c.SetUp...)
		c.Sentence = "Nothing to compare: the objectives are not the same."
		return c
	}
	if c.A.Failed > 0 && c.B.Held > 0 {
		c.Change.Low = ptr(sixDigits(c.B.Held/c.A.Failed - 1))
	}
	if c.A.Held > 0 && c.B.Failed > 0 {
		c.Change.High = ptr(sixDigits(c.B.Failed/c.A.Held - 1))
	}
	ratio := Check{Unit: UnitRatio}
	switch low, high := c.Change.Low, c.Change.High; {
	case low != nil && *low > 0:
		c.Differs = true
		c.Sentence = sentence("B carries more: the objectives hold at %s, and failed at %s in A (%s or more).", PerSecondOf(c.B.Held), PerSecondOf(c.A.Failed), ratio.Format(*low))
	case high != nil && *high < 0:
		c.Differs = true
		c.Sentence = sentence("B carries less: the objectives fail at %s, and held at %s in A (%s or less).", PerSecondOf(c.B.Failed), PerSecondOf(c.A.Held), ratio.Format(*high))
	case low != nil && high != nil:
		c.Sentence = sentence("No difference is proven: from A to B the capacity changed by %s to %s.", ratio.Format(*low), ratio.Format(*high))
	default:
		c.Sentence = "No difference is proven: an end of the interval is not known in one of them."
	}
	return c
}
