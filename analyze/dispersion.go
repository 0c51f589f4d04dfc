package analyze

import (
	"math"
	"time"

	"coalmine/attack"
)

// What the checks assume of routing and errors from second to second, and what shows that it does not hold
// (statistics.md 3). Errors count in the second in which their hits were due or, late, known.
const (
	fewestBlocks    = 10  // less says nothing of a spread
	burstsWorthNote = 1.5 // times the spread of independent errors
	cachedRouting   = 5.0 // times the spread of independent routing
)

// spread adds up blocks of n trials with k hits each, so that their over-dispersion can be told at any time.
type spread struct {
	blocks           int
	k, n, kk, kn, nn float64
}

func (s *spread) add(k, n uint64) {
	if n == 0 {
		return
	}
	x, y := float64(k), float64(n)
	s.blocks++
	s.k, s.n = s.k+x, s.n+y
	s.kk, s.kn, s.nn = s.kk+x*x, s.kn+x*y, s.nn+y*y
}

// factor is how many times wider the blocks spread than independent trials would, at least 1; 1 while too few are known.
func (s *spread) factor() float64 { return s.over(fewestBlocks) }

// over is factor with another number of blocks for too few.
func (s *spread) over(fewest int) float64 {
	if s.blocks < fewest || s.k == 0 || s.k == s.n {
		return 1
	}
	p := s.k / s.n
	squares := s.kk - 2*p*s.kn + p*p*s.nn
	return max(1, squares/(float64(s.blocks-1)*s.n/float64(s.blocks)*p*(1-p)))
}

// seconds watches the judged part of a run: errors by the second, routing from window to window.
type seconds struct {
	at           int64  // the second being added up
	routed       spread // to the canary
	failed, slow spread // of all answers, of all successes
	slowFrom     time.Duration
	now          second
	base, canary float64 // hits in whole seconds so far
	drift        [2]float64
	settled      int64 // window from which routing is watched: until settle its share may still move
}

type second struct{ base, canary, errors, hits, slow, good uint64 }

const windowsPerSecond = int64(1e9 / attack.WindowLength)

func (s *seconds) add(w *attack.Window, base, canary uint64) {
	if second := w.Index / windowsPerSecond; second != s.at {
		s.close()
		s.at = second
	}
	if w.Index >= s.settled {
		s.routed.add(canary, base+canary)
	}
	s.now.base += base
	s.now.canary += canary
	count := func(a attack.Answers) {
		s.now.hits += answered(a)
		s.now.errors += failures(a)
	}
	count(w.Answers)
	for _, l := range w.Late {
		count(l.Answers)
	}
}

// times adds answers whose response times count, in the second in which that is known.
func (s *seconds) times(a attack.Answers) {
	for _, t := range a.Arms {
		s.now.good += t.Hits - min(t.Failed(), t.Hits)
		s.now.slow += surelyAbove(t.Response, s.slowFrom)
	}
}

func (s *seconds) close() {
	b, c := float64(s.now.base), float64(s.now.canary)
	s.failed.add(min(s.now.errors, s.now.hits), s.now.hits)
	s.slow.add(min(s.now.slow, s.now.good), s.now.good)
	if s.now.hits > 0 {
		rate := float64(s.now.errors) / float64(s.now.hits)
		s.base, s.canary = s.base+b, s.canary+c
		s.drift[0], s.drift[1] = s.drift[0]+b*rate, s.drift[1]+c*rate
	}
	s.now = second{}
}

// confounded is the difference of error rates that comes of the arms' shares moving with the load's own error rate
// alone (Simpson's paradox), as a share.
func (s *seconds) confounded() float64 {
	if s.base == 0 || s.canary == 0 {
		return 0
	}
	return math.Abs(s.drift[1]/s.canary - s.drift[0]/s.base)
}
