package capacity

import (
	"math"
	"slices"
	"strconv"
	"time"
)

const (
	looseRisk   = 0.05 // of trials that only choose where to look
	mostInvalid = 3    // trials in a row that the generator could not carry: it is the bottleneck
	mostStills  = 10   // the same at a rate that it is known to carry: nothing can be measured here
	mostStuck   = 8    // rates that no trial decides: longer ones are needed
	mostTrials  = 500
)

// Search finds the highest rate. It is not for use by several goroutines.
type Search struct {
	plan    Plan
	belief  belief
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
	return &Search{plan: p, belief: believe(nil, &p, fine, 0)}, nil
}

// Plan is the complete one.
func (s *Search) Plan() Plan { return s.plan }

// Add takes what came of a trial, in the order in which they were run.
func (s *Search) Add(d Done) {
	s.done = append(s.done, d)
	s.count(&d)
	s.drift = drifts(s.done, &s.plan)
	weighed := s.done
	for _, l := range s.loads {
		if l.lame {
			fails := Done{Trial: s.confirm(l.rate), Outcome: Fail, At: d.At}
			weighed = append(slices.Clip(weighed), fails, fails)
		}
	}
	s.belief = believe(weighed, &s.plan, fine, 0)
}

func (s *Search) count(d *Done) {
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
	full := d.Full()
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
	from, rate, to := s.belief.quantile(unlikely), s.belief.quantile(0.5), s.belief.quantile(1-unlikely)
	stuck := s.loads.stuck(p)
	switch lowest, top := s.loads.at(p.Lowest), s.top(); {
	case len(s.done) == 0:
		return s.bracket(p.Lowest), true
	case len(stuck) > mostStuck:
		return Trial{}, false
	case rate <= p.Lowest && !lowest.holds(p):
		return s.confirm(p.Lowest), !lowest.stuck(p) && !lowest.proven(p)
	case rate > top*p.Ramp && top < p.Highest:
		return s.bracket(max(p.Lowest, min(neat(top*p.Ramp), p.Highest))), true
	case rate < p.Highest && to/from > 1+1.25*p.Width && len(stuck) == 0:
		return s.bisect(max(p.Lowest, neat(rate)), to/from), true
	}
	return s.ends(min(rate, p.Highest), stuck)
}

// top is the highest rate that held or seemed to.
func (s *Search) top() (top float64) {
	for _, d := range s.done {
		if d.Outcome == Pass || d.Outcome == Undecided && d.Leaning == Pass {
			top = max(top, d.Rate)
		}
	}
	return top
}

// ends proves the bounds: each once, then the soak, then again, so that a target that changes meanwhile shows.
func (s *Search) ends(around float64, stuck loads) (Trial, bool) {
	p := &s.plan
	lower, upper := s.bounds()
	if !s.narrow(lower, upper) {
		low, high := s.around(around, stuck)
		slack := math.Pow(1+p.Width, 1./8)
		lower = s.loads.lower(p, low*slack)
		if lower == nil || lower.rate < low/slack {
			return s.confirm(low), !s.loads.at(low).stuck(p) // stuck: there is nowhere lower to go
		}
		widest := neat(lower.rate * (1 + p.Width))
		if len(stuck) == 0 && widest > high/slack {
			high = min(high, widest)
		}
		upper = s.loads.upper(p, high/slack)
		if around < p.Highest && (upper == nil || upper.rate > max(high*slack, widest)) && !s.loads.at(high).stuck(p) {
			return s.confirm(high), true
		}
	}
	switch {
	case p.Soak > 0 && !s.soakedBelow(lower.rate):
		return Trial{Rate: max(neat(lower.rate*p.SoakAt), p.Lowest), Shortest: p.Soak, Longest: max(p.Soak, p.Longest), Risk: p.Risk, Purpose: Soak}, true
	case upper != nil && !upper.lame && !s.sure(upper, upper.rate >= s.belief.quantile(1-doubt)):
		return s.confirm(upper.rate), true
	case !s.sure(lower, lower.rate <= s.belief.quantile(doubt)):
		return s.confirm(lower.rate), true
	}
	return Trial{}, false
}

func (s *Search) sure(l *load, believed bool) bool { return believed && l.proven(&s.plan) }

// narrow reports that two bounds are all that is asked for.
func (s *Search) narrow(lower, upper *load) bool {
	return lower != nil && upper != nil && s.sure(lower, lower.rate <= s.belief.quantile(doubt)) &&
		s.sure(upper, upper.rate >= s.belief.quantile(1-doubt)) && upper.rate <= neat(lower.rate*(1+s.plan.Width))
}

// around is where the bounds are sought: half the goal width from where the capacity is believed to be, so that they lie clear of
// it where trials have to be sure; and from rates that long trials did not decide the further, the more there are of them.
func (s *Search) around(rate float64, stuck loads) (low, high float64) {
	p := &s.plan
	half := math.Sqrt(1 + 0.98*p.Width) // rates are written in four digits
	low, high = rate/half, rate*half
	if n := len(stuck); n > 0 {
		quarter, below := math.Sqrt(half), 0
		for _, l := range stuck {
			if l.rate < rate*quarter {
				below++
			}
		}
		low = min(rate*quarter, stuck[0].rate) / math.Pow(half, float64(max(1, below)))
		high = max(rate/quarter, stuck[n-1].rate) * math.Pow(half, float64(max(1, n-below)))
	}
	if rate >= p.Highest && len(stuck) == 0 {
		low = p.Highest
	}
	return max(neat(low), p.Lowest), min(neat(high), p.Highest)
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
