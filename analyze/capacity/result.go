package capacity

import (
	"math"
	"slices"
	"time"
)

// Kind is how a search ended.
type Kind string

const (
	Unfinished Kind = "unfinished" // it was stopped; the bounds are what is known
	Found      Kind = "found"      // both bounds are proven
	AtLeast    Kind = "at-least"   // nothing failed up to the highest rate
	TooLow     Kind = "too-low"    // the objectives fail at the lowest rate
	Quota      Kind = "quota"      // the upper bound is a quota's, not capacity
	Generator  Kind = "generator"  // the upper bound is the generator's
	Drifting   Kind = "drifting"   // the target changed meanwhile; the bounds are the last
	Unsettled  Kind = "unsettled"  // trials of that length do not decide both bounds
)

// Bound is one end of the interval.
type Bound struct {
	Rate   float64 `json:"rate_per_s"`
	Proven bool    `json:"proven"`        // by so many trials at full length as were asked for
	Trials int     `json:"trials"`        // at full length
	Broken int     `json:"broken"`        // of those, did not hold
	Lame   bool    `json:"lame,omitzero"` // the generator could not carry it: that says nothing of the target
}

// Result is what is known, at any time.
type Result struct {
	Kind        Kind          `json:"kind"`
	Lower       *Bound        `json:"lower,omitempty"` // the highest rate that held, as far as it is proven
	Upper       *Bound        `json:"upper,omitempty"` // the lowest that failed
	Width       float64       `json:"width,omitzero"`  // of the interval, share of its lower end
	Goal        float64       `json:"goal_width"`
	Conditional float64       `json:"conditional_per_s,omitzero"` // good answers per second at the lower bound, in all of its trials but the worst of the exceed ratio
	Soaked      float64       `json:"soaked_per_s,omitzero"`      // the rate of the soak that held
	Quota       float64       `json:"quota_per_s,omitzero"`       // what a quota lets through, in the median of the trials that ran into it
	Drift       Drift         `json:"drift"`
	Stopped     string        `json:"stopped,omitempty"` // why, of an unfinished one
	Trials      int           `json:"trials"`
	Took        time.Duration `json:"took_ns"`
}

// Result is what is known now.
func (s *Search) Result() Result {
	p := &s.plan
	lower, upper := s.bounds()
	r := Result{Goal: p.Width, Drift: s.weigh().drift, Stopped: s.stopped, Trials: len(s.done), Lower: bound(lower, p), Upper: bound(upper, p)}
	if n := len(s.done); n > 0 {
		r.Took = s.done[n-1].At
	}
	r.Soaked, r.Quota = s.soaked, s.quota()
	if lower != nil && upper != nil {
		r.Width = upper.rate/lower.rate - 1
	}
	if lower != nil {
		r.Conditional = conditional(lower.answered, p.Exceed)
	}
	r.Kind = s.kind(lower, upper)
	return r
}

// quota is 0 where none is known.
func (s *Search) quota() float64 {
	var allowed []float64
	for _, d := range s.done {
		if d.Allowed > 0 {
			allowed = append(allowed, d.Allowed)
		}
	}
	if len(allowed) == 0 {
		return 0
	}
	slices.Sort(allowed)
	return allowed[len(allowed)/2]
}

// bounds are the nearest that are proven and believed; else the nearest that held and failed, or seemed to.
func (s *Search) bounds() (lower, upper *load) {
	p := &s.plan
	belief := s.weigh().belief
	low, middle, high := belief.quantile(doubt), belief.quantile(0.5), belief.quantile(1-doubt)
	held, failed := false, false
	for _, l := range s.loads {
		held, failed = held || l.hint == Pass, failed || l.hint == Fail
	}
	rank := func(l *load, voted, hinted, believed bool) int {
		switch {
		case voted && believed && l.proven(p):
			return 3
		case voted && believed:
			return 2
		case voted || hinted:
			return 1
		}
		return 0
	}
	find := func(from, to float64) (lower, upper *load, lowerRank, upperRank int) {
		lowerRank = 1
		for _, l := range s.loads {
			if r := rank(l, l.holds(p), l.hint == Pass && !l.fails(p) && (l.rate < middle || !failed), l.rate <= low); r >= lowerRank && l.rate < to {
				lower, lowerRank = l, r
			}
			if r := rank(l, l.fails(p), l.hint == Fail && !l.holds(p) && (l.rate > middle || !held), l.rate >= high); r > upperRank && l.rate > from {
				upper, upperRank = l, r
			}
		}
		return lower, upper, lowerRank, upperRank
	}
	lower, upper, lowerRank, upperRank := find(0, math.Inf(1))
	switch {
	case lower == nil || upper == nil || lower.rate < upper.rate:
	case lowerRank >= upperRank:
		lower, upper, _, _ = find(lower.rate, math.Inf(1))
	default:
		lower, upper, _, _ = find(0, upper.rate)
	}
	return lower, upper
}

func (s *Search) kind(lower, upper *load) Kind {
	_, more := s.want()
	switch {
	case s.stopped != "":
		return Unfinished
	case s.weigh().drift != Steady:
		return Drifting
	case more:
		return Unfinished
	case upper != nil && upper.lame:
		return Generator
	case upper != nil && upper.limited && upper.proven(&s.plan):
		return Quota
	case lower == nil && upper != nil && upper.rate <= s.plan.Lowest && upper.proven(&s.plan):
		return TooLow
	case lower == nil || !lower.proven(&s.plan):
		return Unsettled
	case upper == nil && lower.rate >= s.plan.Highest:
		return AtLeast
	case upper == nil || !upper.proven(&s.plan):
		return Unsettled
	}
	return Found
}

func bound(l *load, p *Plan) *Bound {
	if l == nil {
		return nil
	}
	return &Bound{Rate: l.rate, Proven: l.proven(p) && !l.lame, Trials: l.good + l.bad + l.unsure, Broken: l.bad, Lame: l.lame}
}

// conditional is MLRsearch's conditional throughput: the load forwarded in the trial at the exceed ratio's quantile, from
// the worst. The worst that may be are those of the exceed ratio; the next is what can be counted on.
func conditional(answered []float64, exceed float64) float64 {
	if len(answered) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(answered))
	return sorted[min(int(float64(len(sorted))*exceed), len(sorted)-1)]
}
