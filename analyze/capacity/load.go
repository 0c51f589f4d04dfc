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

// lower is the highest rate that held, up to one.
func (all loads) lower(p *Plan, upTo float64) (lower *load) {
	for _, l := range all {
		if l.rate <= upTo && l.holds(p) {
			lower = l
		}
	}
	return lower
}

// upper is the lowest rate that failed, from one on.
func (all loads) upper(p *Plan, from float64) *load {
	for _, l := range all {
		if l.rate >= from && l.fails(p) {
			return l
		}
	}
	return nil
}

// stuck are the rates that long trials do not decide, between those that held and those that failed.
func (all loads) stuck(p *Plan) (stuck loads) {
	upper := all.upper(p, 0)
	for _, l := range all {
		switch {
		case l == upper:
			return stuck
		case l.holds(p) && l.proven(p):
			stuck = nil
		case l.stuck(p):
			stuck = append(stuck, l)
		}
	}
	return stuck
}
