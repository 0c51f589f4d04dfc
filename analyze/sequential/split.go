package sequential

import (
	"fmt"
	"math"
)

// Split is 2.2: the canary's share of all responses is share, within +-margin.
type Split struct {
	passLow, passHigh Mixture // against "at most share - margin" and "at least share + margin"
	failLow, failHigh Mixture // against "at least share - margin" and "at most share + margin"
	toPass            float64 // log 1/alpha
}

// SplitCount counts responses; an unclassified one names no version and may have been anybody's.
type SplitCount struct{ Canary, Unclassified, N uint64 }

// plus adds two stretches of the run.
func (c SplitCount) plus(d SplitCount) SplitCount {
	return SplitCount{c.Canary + d.Canary, c.Unclassified + d.Unclassified, c.N + d.N}
}

// most is the greatest count that the canary may have had.
func (c SplitCount) most() uint64 { return c.Canary + c.Unclassified }

// NewSplit wants 0 < share - margin and share + margin < 1: a margin that reaches 0 or 1 would leave one side without a test, and
// let a canary that gets nothing pass.
func NewSplit(share, margin float64, l Levels) (Split, error) {
	low, high, err := band(share, margin)
	if err != nil {
		return Split{}, fmt.Errorf("split: %w", err)
	}
	if err := l.Validate(); err != nil {
		return Split{}, fmt.Errorf("split: %w", err)
	}
	return Split{
		passLow:  towards(low, margin, l),
		passHigh: towards(high, -margin, l),
		failLow:  against(low, Down, l),
		failHigh: against(high, Up, l),
		toPass:   l.pass(),
	}, nil
}

// band is the range of shares that the policy allows.
func band(share, margin float64) (low, high float64, err error) {
	const dust = 1e-12 // what is left of .3 - .3 and the like
	if !inside(share) {
		return 0, 0, fmt.Errorf("share %v must be above 0 and below 1", share)
	}
	low, high = share-margin, share+margin
	if !(margin > 0) || low < dust || high > 1-dust {
		return 0, 0, fmt.Errorf("margin %v must be above 0, and share %v +- margin inside 0 to 1", margin, share)
	}
	return low, high, nil
}

// towards is a PASS mixture against "beyond the edge": margin is signed, and points into the band. The spike sits at .8 of the
// way to the middle, not at the middle itself: when the later of the two sides decides, it has seen a deviation below the margin
// (mean requests with the spike at .5, .7, .8 and 1.0 of the way: 3,126, 2,832, 2,796, 2,917).
func towards(edge, margin float64, l Levels) Mixture {
	q, w := []float64{edge + 0.8*margin}, []float64{0.8}
	ladder := q[:0:0]
	for reach := 2 * margin; len(ladder) < 6; reach /= 2 {
		alternative := min(max(edge+reach, 0), 1)
		if divergence(alternative, edge)*float64(l.Budget) < l.pass() {
			break // the budget cannot resolve it, nor what is nearer still
		}
		ladder = append(ladder, alternative)
	}
	return NewMixture(edge, append(q, ladder...), append(w, uniform(len(ladder), 0.2)...))
}

// Pass is log E of the two sides that must both reach log 1/alpha: low against "the share is share - margin or less", high against
// "share + margin or more". Likelihood ratios with one-sided alternatives are monotone in k, so each is taken at the assignment of
// the unclassified that speaks least: whatever mechanism hides the version, the guarantee stands.
func (s Split) Pass(c SplitCount) (low, high float64) {
	return s.passLow.Log(c.Canary, c.N), s.passHigh.Log(c.most(), c.N)
}

// Fail is log E of low against "the share is share - margin or more", of high against "share + margin or less", both at the
// least favourable assignment of the unclassified, and of their mean, which is the e-process the gate uses.
func (s Split) Fail(c SplitCount) (low, high, mean float64) {
	low, high = s.failLow.Log(c.most(), c.N), s.failHigh.Log(c.Canary, c.N)
	return low, high, logMean(low, high)
}

// logMean is the log of the mean of two e-values given as logs.
func logMean(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(b, -1) {
		return a - math.Ln2
	}
	return a + math.Log1p(math.Exp(b-a)) - math.Ln2
}

// Bounds are the shares still possible (2.6), each side by the tilts of its PASS process at alpha: lo and less is excluded, and hi
// and more; (0, 1) while nothing is. A range of two sides at alpha covers with 1 - 2 alpha.
func (s Split) Bounds(c SplitCount) (lo, hi float64) {
	return s.passLow.below(c.Canary, c.N, s.toPass), s.passHigh.above(c.most(), c.N, s.toPass)
}

// StartMin is what a Split says when it is not known from which window on the change had arrived everywhere.
type StartMin struct {
	PassLow, PassHigh, Fail                float64 // log E, each minimised on its own
	FailLow, FailHigh                      float64 // log E of the two sides at FailStart
	PassLowStart, PassHighStart, FailStart int     // the first start at which the minimum is attained
	// EarliestConsistent is the first start from which on the data do not contradict the split: FAIL is below 1/alpha. All such
	// starts together hold the true one with probability 1 - alpha or more. -1 if there is none.
	EarliestConsistent int
}

// MinOverStarts is the split of 2.8. starts[i] counts window i alone, rest everything after the last window at which the change may
// have arrived. Start s, 0 to len(starts), means the data from window s to the end; s = len(starts) is rest alone, which says
// nothing (log E = 0) while it is empty.
//
// Theorem. From the true start on the share is what it will be, so the e-process of that start is valid, and the minimum over all
// starts is at most that one, whatever the shape of the roll-out. Nothing is assumed about the windows before. The price is that
// with an empty rest no side says anything: lag and a wrong share look alike.
func (s Split) MinOverStarts(starts []SplitCount, rest SplitCount) StartMin {
	last := len(starts)
	m := StartMin{PassLowStart: last, PassHighStart: last, FailStart: last, EarliestConsistent: -1}
	m.PassLow, m.PassHigh = s.Pass(rest)
	m.FailLow, m.FailHigh, m.Fail = s.Fail(rest)
	if m.Fail < s.toPass {
		m.EarliestConsistent = last
	}
	from := rest
	for i := last - 1; i >= 0; i-- { // backwards, so that the counts from i on are a running sum
		from = from.plus(starts[i])
		low, high := s.Pass(from)
		if low <= m.PassLow {
			m.PassLow, m.PassLowStart = low, i
		}
		if high <= m.PassHigh {
			m.PassHigh, m.PassHighStart = high, i
		}
		low, high, mean := s.Fail(from)
		if mean <= m.Fail {
			m.Fail, m.FailLow, m.FailHigh, m.FailStart = mean, low, high, i
		}
		if mean < s.toPass {
			m.EarliestConsistent = i
		}
	}
	return m
}

// Tempered is the split for responses that come in blocks of phi to one arm (see Mixture.Tempered).
func (s Split) Tempered(phi float64) Split {
	for _, m := range []*Mixture{&s.passLow, &s.passHigh, &s.failLow, &s.failHigh} {
		*m = m.Tempered(phi)
	}
	return s
}
