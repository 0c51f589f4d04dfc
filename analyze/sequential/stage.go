package sequential

import (
	"fmt"
	"math"
)

// StageErrors is 2.3a: everybody's errors together are at most theta over every stretch of windows. If each arm keeps its bound,
// all do; so this FAIL process may count errors that name no version, which is how a dead canary looks. It has no PASS side.
//
// As the change may take its time to arrive, E is a mixture over start windows: half the weight on window 0 (the first change),
// half as 1/((w+1)(w+2)) on windows w = 0, 1, ... A start still to come has E = 1. A mixture of e-processes with weights fixed
// beforehand is an e-process of "never above theta over any stretch"; bursts count. Measured: a dead canary is called 49 requests
// after its first dead answer at 500 requests a second whatever the delay, against 338 without the mixture at a delay of 25 s.
//
// Two sums make it O(components) a window. The start at window 0 sees all windows, so its process needs the totals only. For the
// other starts, with one number per alternative: A <- (A + weight of this window's start) * LR(this window).
//
// Late corrections. A pending hit is first counted as a success and may turn out as an error. That multiplies the processes of the
// starts at or before its window and no other, so the sum above is kept as it stood before each of the last horizon windows and
// done again from there. A correction from further back goes into the totals, where it is exact, and is dropped for the other
// starts: they can no longer be told apart, and to apply it to a newer window would give it to starts that never saw the hit,
// which is the invalid direction. Dropping it leaves the hit a success, as the pending rule already had it: valid.
type StageErrors struct {
	mixture Mixture
	keep    int       // windows that can be amended, horizon + 1
	windows uint64    // appended so far
	k, n    uint64    // of all windows
	recent  []stretch // ring of the last keep windows: window w is at w % keep
	later   []float64 // log A for each alternative, starts 1, 2, ..., all windows
	before  []float64 // the same before each recent window, one row of len(later) per slot
	stale   uint64    // the first window whose LR is not in later as it should be; windows if none is
}

// stretch is one window's responses.
type stretch struct{ k, n uint64 }

// maxHorizon bounds the memory: some 100 bytes a window.
const maxHorizon = 100_000

// NewStageErrors wants 0 < theta < 1. Windows up to horizon windows before the newest can be amended exactly, 0 to 100,000; the
// client timeout divided by the window's length is enough.
func NewStageErrors(theta float64, l Levels, horizon int) (*StageErrors, error) {
	if !inside(theta) {
		return nil, fmt.Errorf("stage errors: theta %v must be above 0 and below 1", theta)
	}
	if err := l.Validate(); err != nil {
		return nil, fmt.Errorf("stage errors: %w", err)
	}
	if horizon < 0 || horizon > maxHorizon {
		return nil, fmt.Errorf("stage errors: horizon %d must be 0 to %d windows", horizon, maxHorizon)
	}
	s := &StageErrors{mixture: against(theta, Up, l), keep: horizon + 1}
	parts := len(s.mixture.parts)
	s.recent = make([]stretch, s.keep)
	s.before = make([]float64, s.keep*parts)
	s.later = make([]float64, parts)
	for j := range s.later {
		s.later[j] = math.Inf(-1) // no start 1, 2, ... yet
	}
	return s, nil
}

// Append adds the next window: k errors among n responses, pending hits counted in n as successes. A k above n is taken as n.
// The first window appended is the one of the first change.
func (s *StageErrors) Append(k, n uint64) {
	k = min(k, n)
	s.settle() // the row below must be right before it is kept
	slot := int(s.windows % uint64(s.keep))
	s.recent[slot] = stretch{k, n}
	copy(s.before[slot*len(s.later):], s.later)
	s.absorb(s.windows)
	s.k += k
	s.n += n
	s.windows++
	s.stale = s.windows
}

// Amend says that this many pending hits of an earlier window, back windows before the newest, have turned out as errors. (Those
// that turned out as successes are counted already.) Hits of windows before the first one appended are not of this process and
// are ignored; so are errors beyond the window's n (beyond the horizon: beyond all windows' n).
func (s *StageErrors) Amend(back int, errors uint64) {
	if back < 0 || uint64(back) >= s.windows || errors == 0 {
		return
	}
	if back >= s.keep {
		s.k += min(errors, s.n-s.k) // the start at window 0 only: see the type's comment
		return
	}
	w := s.windows - 1 - uint64(back)
	r := &s.recent[w%uint64(s.keep)]
	errors = min(errors, r.n-r.k)
	r.k += errors
	s.k += errors
	s.stale = min(s.stale, w)
}

// Log is log E, with the weight of the starts to come.
func (s *StageErrors) Log() float64 {
	if s.windows == 0 {
		return 0
	}
	s.settle()
	total := emptySum
	total.add(math.Log(0.75) + s.mixture.Log(s.k, s.n)) // window 0: one half, and half of 1/(1*2)
	for j := range s.later {
		total.add(s.mixture.parts[j].logWeight + s.later[j])
	}
	total.add(-math.Log(2 * float64(s.windows+1))) // half of the sum of 1/((w+1)(w+2)) over w = windows, ...
	return total.value()
}

// settle brings later up to date from the first stale window on.
func (s *StageErrors) settle() {
	if s.stale == s.windows {
		return
	}
	parts := len(s.later)
	for w := s.stale; w < s.windows; w++ {
		row := s.before[int(w%uint64(s.keep))*parts:][:parts]
		if w == s.stale {
			copy(s.later, row) // what stood before the first amended window is right
		} else {
			copy(row, s.later)
		}
		s.absorb(w)
	}
	s.stale = s.windows
}

// absorb starts the processes of window w and multiplies all by its likelihood ratio.
func (s *StageErrors) absorb(w uint64) {
	r := s.recent[w%uint64(s.keep)]
	hits, misses := split(r.k, r.n)
	start := math.Inf(-1) // window 0's start is in the totals
	if w > 0 {
		start = -math.Log(2 * float64(w+1) * float64(w+2))
	}
	for j := range s.later {
		p := &s.mixture.parts[j]
		s.later[j] = logAdd(s.later[j], start) + times(hits, p.hit) + times(misses, p.miss)
	}
}

// logAdd is log(exp(a) + exp(b)).
func logAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(b, -1) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}
