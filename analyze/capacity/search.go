package capacity

import (
	"math"
	"strconv"
	"time"
)

const (
	looseRisk   = 0.05 // of trials that only choose where to look
	mostInvalid = 3    // trials in a row that the generator could not carry: it is the bottleneck
	mostStills  = 10   // the same at a rate that it is known to carry: nothing can be measured here
	mostTrials  = 500
)

// Search finds the highest rate. It is not for use by several goroutines.
type Search struct {
	plan    Plan
	loads   loads
	done    []Done
	soaks   []float64 // rates at which a soak held, or was tried twice without being decided
	soaked  float64   // the last at which it held
	drift   Drift
	stopped string
}

// New is a search of a valid plan; zero fields are filled in.
func New(p Plan) (*Search, error) {
	p = p.Complete()
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return &Search{plan: p}, nil
}

// Plan is the complete one.
func (s *Search) Plan() Plan { return s.plan }

// Add takes what came of a trial, in the order in which they were run.
func (s *Search) Add(d Done) {
	s.done = append(s.done, d)
	l := s.loads.at(d.Rate)
	if d.Outcome == Invalid {
		l.invalid++
		switch {
		case d.Rate > s.plan.Carries:
			l.lame = l.invalid >= s.patience()
		case l.invalid >= mostStills:
			s.Stop(Disturbed)
		}
		return
	}
	l.invalid, l.lame = 0, false
	full := d.Purpose == Confirm || d.Purpose == Soak
	switch {
	case d.Outcome == Limited:
		l.limited = true
		fallthrough
	case d.Outcome == Fail:
		if l.hint = Fail; full {
			l.bad++
		}
	case d.Outcome == Pass:
		if l.hint = Pass; full {
			l.good++
		}
	case full:
		l.unsure++
	default:
		l.hint = d.Leaning
	}
	if d.Purpose == Soak {
		switch {
		case d.Outcome == Pass:
			s.soaked = d.Rate
			s.soaks = append(s.soaks, d.Rate)
		case l.unsure >= 2:
			s.soaks = append(s.soaks, d.Rate)
		}
	}
	if full && d.Outcome != Undecided {
		l.answered = append(l.answered, d.Good)
	}
	s.drift = drifts(s.done)
}

// patience is after how many invalid trials a rate is given up: once the generator was known to be at its end, two do.
func (s *Search) patience() int {
	for _, l := range s.loads {
		if l.lame {
			return mostInvalid - 1
		}
	}
	return mostInvalid
}

// Stop ends the search: a breaker, an interrupt. What is known stays.
func (s *Search) Stop(why string) {
	if s.stopped == "" {
		s.stopped = why
	}
}

// Next is the trial to run now, or none: then the search is over. now is the time since the search began, each what a
// trial takes beside what is judged of it.
func (s *Search) Next(now, each time.Duration) (Trial, bool) {
	if s.stopped != "" {
		return Trial{}, false
	}
	if s.drift != Steady || len(s.done) >= mostTrials {
		return Trial{}, false
	}
	t, more := s.want()
	if !more || s.plan.Budget == 0 {
		return t, more
	}
	rest := s.plan.Budget - now - each
	if rest < t.Shortest {
		s.stopped = OutOfTime
		return Trial{}, false
	}
	t.Longest = min(t.Longest, rest)
	return t, true
}

// OutOfTime is why a search stopped that used up its budget.
const OutOfTime = "the time budget is used up"

// Disturbed is why a search stopped whose generator was late or short again and again at a rate that it is known to carry.
const Disturbed = "this machine is too busy to measure: its load generator stood still again and again"

// want is the next trial, however long there is.
func (s *Search) want() (Trial, bool) {
	p := &s.plan
	v := s.loads.view(p)
	switch {
	case s.disputed(v.upper):
		return s.confirm(v.upper.rate), true
	case v.low == nil && v.high != nil && v.high.rate <= p.Lowest:
		return s.confirm(p.Lowest), !v.high.proven(p)
	case v.low == nil:
		return s.bracket(p.Lowest), !s.loads.at(p.Lowest).stuck(p) // stuck: the lowest rate cannot be decided
	case v.high == nil && len(v.stuck) == 0 && v.low.rate < p.Highest:
		return s.bracket(min(neat(v.low.rate*p.Ramp), p.Highest)), true
	case v.high == nil && len(v.stuck) == 0:
		return s.ends(v, p.Highest, p.Highest)
	case v.high != nil && len(v.stuck) == 0:
		if rate := s.inside(v.low.rate, v.high.rate); rate > 0 {
			return s.bisect(rate, v.high.rate/v.low.rate), true
		}
	}
	around, apart := s.centre(v)
	return s.ends(v, max(neat(around/apart), p.Lowest), min(neat(around*apart), p.Highest))
}

// disputed is a rate that failed once, though it or a higher one has held: a disturbance, or that was too short. It is asked
// again before anything is built on it.
func (s *Search) disputed(l *load) bool {
	if l == nil || l.proven(&s.plan) {
		return false
	}
	for _, d := range s.done {
		if d.Outcome == Pass && d.Rate >= l.rate {
			return true
		}
	}
	return false
}

// centre is where the truth is believed to be, and how far around it the bounds are sought: half the goal width, so that
// the bounds, where trials have to be sure, lie clear of it. Rates that long trials did not decide are where it is; each
// that was tried in vain pushes the bounds further out.
func (s *Search) centre(v view) (around, apart float64) {
	half := math.Sqrt(1 + s.plan.Width)
	n := len(v.stuck)
	if n == 0 {
		return math.Sqrt(v.low.rate * v.high.rate), half
	}
	from, to := v.stuck[0].rate, v.stuck[n-1].rate
	return math.Sqrt(from * to), math.Sqrt(to/from) * math.Pow(half, float64(n))
}

// ends proves the bounds: each once, then the soak, then again, so that a target that changes meanwhile shows. low and high
// are where they are sought if there are none as near; nothing is sought above the highest rate of all.
func (s *Search) ends(v view, low, high float64) (Trial, bool) {
	p := &s.plan
	switch {
	case v.lower == nil || v.lower.rate < low:
		return s.confirm(low), !s.loads.at(low).stuck(p) // stuck: there is nowhere lower to go
	case (v.upper == nil || v.upper.rate > high) && (v.high != nil || high < p.Highest) && !s.loads.at(high).stuck(p):
		return s.confirm(high), true
	case p.Soak > 0 && !s.soakedBelow(v.lower.rate):
		return Trial{Rate: max(neat(v.lower.rate*p.SoakAt), p.Lowest), Shortest: p.Soak, Longest: max(p.Soak, p.Longest), Risk: p.Risk, Purpose: Soak}, true
	case v.upper != nil && !v.upper.proven(p):
		return s.confirm(v.upper.rate), true
	case !v.lower.proven(p):
		return s.confirm(v.lower.rate), true
	}
	return Trial{}, false
}

// soakedBelow: a bound that moved a little since needs no other soak.
func (s *Search) soakedBelow(rate float64) bool {
	for _, at := range s.soaks {
		if at <= rate && at >= min(s.plan.SoakAt, 0.95)*rate*0.93 || at == s.plan.Lowest && rate*s.plan.SoakAt <= at {
			return true
		}
	}
	return false
}

// inside is the next rate between two, 0 if they are as near to each other as half the goal width.
func (s *Search) inside(low, high float64) float64 {
	width, goal := math.Log(high/low), math.Log1p(s.plan.Width)/2
	if width <= goal+rounding {
		return 0
	}
	parts := math.Ceil(width/goal - rounding)
	if rate := neat(low * math.Exp(width*math.Floor(parts/2)/parts)); rate > low && rate < high {
		return rate
	}
	return 0
}

// neat is a rate to four digits, as a person would write it.
func neat(rate float64) float64 {
	x, _ := strconv.ParseFloat(strconv.FormatFloat(rate, 'g', 4, 64), 64)
	return x
}

func (s *Search) bracket(rate float64) Trial {
	return Trial{Rate: rate, Shortest: s.plan.Short, Longest: s.plan.Short, Risk: max(looseRisk, s.plan.Risk), Purpose: Bracket}
}

// bisect takes longer the less it has to tell apart: an overload of a tenth fills a queue ten times as slowly as one of
// a hundred percent.
func (s *Search) bisect(rate, ratio float64) Trial {
	p := &s.plan
	long := time.Duration(float64(p.Full) * min(1, p.Width/(ratio-1)))
	shortest := min(max(p.Short, long), p.Full)
	return Trial{Rate: rate, Shortest: shortest, Longest: min(2*shortest, p.Longest), Risk: max(looseRisk, p.Risk), Purpose: Bisect}
}

func (s *Search) confirm(rate float64) Trial {
	p := &s.plan
	enough := time.Duration(3 * float64(p.Hits) / rate * float64(time.Second))
	return Trial{Rate: rate, Shortest: p.Full, Longest: max(p.Longest, enough), Risk: p.Risk, Purpose: Confirm}
}
