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
	mostUnsure  = 2    // soaks that are not decided: then it is left open
	mostWorn    = 3    // soaks that fail below rates that hold
	mostStuck   = 8    // rates that no trial decides: longer ones are needed
	mostTrials  = 500
	tight       = 0.98 // of the goal width: rates are written in four digits
)

// Search finds the highest rate. It is not for use by several goroutines.
type Search struct {
	plan    Plan
	heard   belief   // by all trials
	weighed *weighed // nil: trials were added since
	loads   loads
	done    []Done
	soaks   []float64 // rates at which a soak held, or could not be decided
	soaked  float64   // the last at which it held
	failed  int       // soaks
	unsure  int       // soaks that were not decided, since the last that counts
	stopped string
}

// New is a search of a valid plan; zero fields are filled in.
func New(p Plan) (*Search, error) {
	p = p.Complete()
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return &Search{plan: p, heard: ignorant(&p, fine)}, nil
}

// Plan is the complete one.
func (s *Search) Plan() Plan { return s.plan }

// Add takes what came of a trial, in the order in which they were run.
func (s *Search) Add(d Done) {
	s.done = append(s.done, d)
	s.count(&d)
	s.heard.hear(&d, &s.plan, 0)
	s.weighed = nil
}

// weighed is what all trials say together.
type weighed struct {
	belief
	drift Drift
}

func (s *Search) weigh() *weighed {
	if s.weighed != nil {
		return s.weighed
	}
	b := belief{s.heard.from, s.heard.step, slices.Clone(s.heard.density)}
	for _, l := range s.loads {
		if l.lame {
			fails := Done{Trial: s.confirm(l.rate), Outcome: Fail}
			b.hear(&fails, &s.plan, 0)
			b.hear(&fails, &s.plan, 0)
		}
	}
	s.weighed = &weighed{b, drifts(s.done, &s.plan)}
	return s.weighed
}

func (s *Search) count(d *Done) {
	l := s.loads.at(d.Rate)
	if d.Outcome == Invalid {
		l.invalid++
		switch {
		case d.Starved || d.Rate > s.plan.Carries:
			if l.lame = l.invalid >= s.patience(); l.lame && d.Purpose == Soak {
				s.soaks = append(s.soaks, d.Rate)
			}
		case l.invalid >= mostStills:
			s.Stop(Disturbed)
		}
		return
	}
	l.invalid, l.lame = 0, false
	if d.Purpose == Soak && s.soak(d) {
		return
	}
	full := d.Full()
	switch {
	case d.Outcome == Limited:
		l.limited = l.limited || full
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
	if full && d.Outcome != Undecided {
		l.answered = append(l.answered, d.Good)
	}
}

// soak reports that one that was not decided says nothing of its rate.
func (s *Search) soak(d *Done) (silent bool) {
	switch d.Outcome {
	case Pass:
		s.soaked, s.unsure = d.Rate, 0
		s.soaks = append(s.soaks, d.Rate)
	case Undecided:
		if s.unsure++; s.unsure == mostUnsure {
			s.unsure = 0
			s.soaks = append(s.soaks, d.Rate)
		}
		return true
	default:
		if s.failed++; s.failed == mostWorn {
			s.Stop(WornOut)
		}
	}
	return false
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
	if len(s.done) >= mostTrials {
		s.stopped = Contradictory
	}
	if s.stopped != "" || s.weigh().drift != Steady {
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

// Contradictory is why a search stopped that took too many trials.
const Contradictory = "so many trials contradict each other that more would tell nothing"

// WornOut is why a search stopped whose soaks failed again and again.
const WornOut = "rates that hold in a trial do not hold in a soak, which is longer: the target wears out, and no rate can be called its capacity"

// want is the next trial, however long there is.
func (s *Search) want() (Trial, bool) {
	p := &s.plan
	belief := s.weigh().belief
	from, rate, to := belief.quantile(unlikely), belief.quantile(0.5), belief.quantile(1-unlikely)
	stuck := s.loads.stuck(p)
	switch lowest, top := s.loads.at(p.Lowest), s.top(); {
	case len(s.done) == 0:
		return s.bracket(p.Lowest), true
	case len(stuck) > mostStuck:
		return Trial{}, false
	case p.neat(rate) <= p.Lowest && !(lowest.holds(p) && lowest.proven(p)):
		return s.confirm(p.Lowest), !lowest.proven(p) && (lowest.unsure <= 1 || !lowest.stuck(p))
	case rate > top*p.Ramp && top < p.Highest:
		return s.bracket(p.neat(top * p.Ramp)), true
	case p.neat(rate) > p.Lowest && rate < p.Highest && to/from > 1+1.25*p.Width && len(stuck) == 0:
		return s.bisect(p.neat(rate), to/from), true
	}
	return s.ends(min(rate, p.Highest), stuck)
}

// top is the highest rate that held or seemed to.
func (s *Search) top() (top float64) {
	for _, d := range s.done {
		if d.Held() {
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
		low = s.clear(low, 1/slack)
		lower = s.loads.lower(p, low*slack)
		if lower == nil || lower.rate < low/slack {
			return s.confirm(low), !s.loads.at(low).stuck(p) // stuck: there is nowhere lower to go
		}
		widest := p.neat(lower.rate * (1 + tight*p.Width))
		if len(stuck) == 0 && widest > high/slack {
			high = min(high, widest)
		}
		high = max(low, min(s.clear(high, slack), p.neat(s.top()*p.Ramp)))
		upper = s.loads.upper(p, high/slack)
		if around < p.Highest && (upper == nil || upper.rate > max(high*slack, widest)) && !s.loads.at(high).stuck(p) {
			return s.confirm(high), true
		}
	}
	switch {
	case p.Soak > 0 && !s.soakedBelow(lower.rate):
		soak := s.confirm(p.neat(lower.rate * p.SoakAt))
		soak.Shortest, soak.Longest, soak.Purpose = p.Soak, max(p.Soak, soak.Longest), Soak
		return soak, true
	case upper != nil && !upper.lame && !s.sure(upper, upper.rate >= s.weigh().quantile(1-doubt)):
		return s.confirm(upper.rate), true
	case !s.sure(lower, lower.rate <= s.weigh().quantile(doubt)):
		return s.confirm(lower.rate), true
	}
	highest := s.loads.at(p.Highest)
	return s.confirm(p.Highest), upper == nil && highest.stuck(p) && highest.unsure == 1 // a disturbed trial is no reason to stop short of it
}

// clear is the next rate from one on that is not stuck, up or down by steps; the last that may be tried, where all are.
func (s *Search) clear(rate, step float64) float64 {
	for p := &s.plan; s.loads.at(rate).stuck(p) && rate > p.Lowest && rate < p.Highest; {
		rate = p.neat(rate * step)
	}
	return rate
}

func (s *Search) sure(l *load, believed bool) bool { return believed && l.proven(&s.plan) }

// narrow reports that two bounds are all that is asked for.
func (s *Search) narrow(lower, upper *load) bool {
	return lower != nil && upper != nil && s.sure(lower, lower.rate <= s.weigh().quantile(doubt)) &&
		s.sure(upper, upper.rate >= s.weigh().quantile(1-doubt)) && upper.rate <= lower.rate*(1+s.plan.Width)
}

// around is where the bounds are sought: half the goal width from where the capacity is believed to be, so that they lie clear of
// it where trials have to be sure; and from rates that long trials did not decide the further, the more there are of them.
func (s *Search) around(rate float64, stuck loads) (low, high float64) {
	p := &s.plan
	half := math.Sqrt(1 + tight*p.Width)
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
	return p.neat(low), p.neat(high)
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

// neat is the rate of a trial: in four digits, as a person would write it, and within the plan.
func (p *Plan) neat(rate float64) float64 {
	if rate < p.Highest {
		rate, _ = strconv.ParseFloat(strconv.FormatFloat(rate, 'g', 4, 64), 64)
	}
	return max(p.Lowest, min(rate, p.Highest))
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
