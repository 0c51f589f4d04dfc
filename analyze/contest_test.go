package analyze

import (
	"testing"

	"coalmine/analyze/capacity"
)

func TestCompareRated(t *testing.T) {
	found := func(lower, upper float64) Rated {
		r := Rated{Rating: DefaultRating(), Result: capacity.Result{Kind: capacity.Found}}
		r.Rating.Objectives = []Objective{{Errors: 0.01}}
		if lower > 0 {
			r.Result.Lower = &capacity.Bound{Rate: lower, Proven: true}
		}
		if upper > 0 {
			r.Result.Upper = &capacity.Bound{Rate: upper, Proven: true}
		}
		return r
	}
	with := func(r Rated, change func(*Rated)) Rated { change(&r); return r }
	arm := func(percent float64) func(*Rated) {
		return func(r *Rated) { r.Rating.Arm, r.Rating.Version, r.Rating.Target.Percent = ArmCanary, "2", percent }
	}
	for name, c := range map[string]struct {
		a, b    Rated
		differs bool
		says    string
	}{
		"more":          {found(100, 105), found(200, 210), true, "B carries more: the objectives hold at 200/s, and failed at 105/s in A (+90.5 % or more)."},
		"less":          {found(200, 210), found(100, 105), true, "B carries less: the objectives fail at 105/s, and held at 200/s in A (-47.5 % or less)."},
		"the same":      {found(100, 105), found(102, 107), false, "No difference is proven: from A to B the capacity changed by -2.86 % to +7.00 %."},
		"touching":      {found(100, 105), found(105, 110), false, "No difference is proven: from A to B the capacity changed by +0 % to +10.0 %."},
		"at least":      {found(100, 105), found(200, 0), true, "B carries more: the objectives hold at 200/s, and failed at 105/s in A (+90.5 % or more)."},
		"both at least": {found(100, 0), found(200, 0), false, "No difference is proven: an end of the interval is not known in one of them."},
		"too low":       {found(200, 210), found(0, 10), true, "B carries less: the objectives fail at 10/s, and held at 200/s in A (-95.0 % or less)."},
		"not proven":    {found(100, 105), with(found(200, 210), func(r *Rated) { r.Result.Lower.Proven = false }), false, "No difference is proven: an end of the interval is not known in one of them."},
		"quota":         {found(200, 210), with(found(100, 105), func(r *Rated) { r.Result.Kind = capacity.Quota }), false, "No difference is proven: an end of the interval is not known in one of them."},
		"generator":     {found(200, 210), with(found(100, 105), func(r *Rated) { r.Result.Kind = capacity.Generator }), false, "No difference is proven: an end of the interval is not known in one of them."},
		"drifting":      {found(200, 210), with(found(100, 105), func(r *Rated) { r.Result.Kind = capacity.Drifting }), false, "No difference is proven: an end of the interval is not known in one of them."},
		"changed":       {found(200, 210), with(found(100, 105), func(r *Rated) { r.End.Reason = EndChanged }), false, "No difference is proven: an end of the interval is not known in one of them."},
		"arms":          {with(found(1000, 1050), arm(10)), with(found(500, 510), arm(50)), true, "B carries more: the objectives hold at 250/s, and failed at 105/s in A (+138.1 % or more)."},
		"others' arms":  {found(100, 105), with(found(500, 510), arm(50)), false, "Nothing to compare: the objectives are not the same."},
		"objectives":    {found(100, 105), with(found(200, 210), func(r *Rated) { r.Rating.Objectives = []Objective{{Errors: 0.02}} }), false, "Nothing to compare: the objectives are not the same."},
	} {
		if got := CompareRated(c.a, c.b); got.Sentence != c.says || got.Differs != c.differs {
			t.Errorf("%s: %t, %s\nwant %s", name, got.Differs, got.Sentence, c.says)
		}
	}
}
