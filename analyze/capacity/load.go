package capacity

import (
	"math"
	"slices"
)

// load is a rate with all of its trials.
type load struct {
	rate              float64
	good, bad, unsure int     // trials at full length: the votes
	hint              Outcome // of the last short one: Pass or Fail
	invalid           int     // in a row
	limited, lame     bool    // by the target's quota, by the generator
	answered          []float64
}

// lead is how far the trials that held lead those that did not; at an exceed ratio of a half each counts the same.
func (l *load) lead(p *Plan) float64 {
	if l.lame {
		return -float64(p.Votes)
	}
	return float64(l.good)*p.Exceed/(1-p.Exceed) - float64(l.bad)
}

func (l *load) proven(p *Plan) bool { return math.Abs(l.lead(p)) >= float64(p.Votes)-rounding }

// stuck is a rate so near to the truth that most long trials do not decide it, or that they decide it this way and that.
func (l *load) stuck(p *Plan) bool {
	return (l.unsure > l.good+l.bad || min(l.good, l.bad) > 1) && !l.proven(p)
}

func (l *load) holds(p *Plan) bool { return !l.stuck(p) && l.lead(p) > rounding }
func (l *load) fails(p *Plan) bool { return !l.stuck(p) && l.lead(p) < -rounding }

const rounding = 1e-9

// loads are sorted by rate.
type loads []*load

func (all *loads) at(rate float64) *load {
	i, found := slices.BinarySearchFunc(*all, rate, func(l *load, rate float64) int {
		switch {
		case l.rate < rate:
			return -1
		case l.rate > rate:
			return 1
		}
		return 0
	})
	if !found {
		*all = slices.Insert(*all, i, &load{rate: rate})
	}
	return (*all)[i]
}

// view is what all trials together say. lower and upper are MLRsearch's relevant bounds, by the votes: the lowest rate that
// failed, and the highest below it that held. Between them the hints of short trials narrow the interval to low and high; a
// hint beyond a vote is void. stuck are the rates in between that long trials did not decide. Any may be nil.
type view struct {
	lower, upper *load
	low, high    *load
	stuck        []*load
}

func (all loads) view(p *Plan) (v view) {
	for _, l := range all {
		if l.fails(p) {
			v.upper = l
			break
		}
		if l.holds(p) {
			v.lower = l
		}
	}
	v.low, v.high = v.lower, v.upper
	for _, l := range all {
		switch {
		case v.lower != nil && l.rate <= v.lower.rate:
		case v.upper != nil && l.rate >= v.upper.rate:
		case l.stuck(p):
			v.stuck = append(v.stuck, l)
		case l.hint == Fail && (v.high == v.upper):
			v.high = l
		case l.hint == Pass && (v.high == v.upper):
			v.low = l
		}
	}
	return v
}
