// Package sequential holds the gate's anytime-valid tests: numbers in, numbers out.
//
// Every test is an e-process: a number E that starts at 1, is computed from counts alone, and whose expectation is at most 1 at
// every stopping time while its null hypothesis holds. By Ville's inequality E ever reaches 1/alpha with probability at most
// alpha, however often one looks, so a look costs nothing and no look is lost. All functions return log E (natural logarithm);
// 0 is "no evidence", and compares with log(1/alpha).
//
// The word "valid" below always means this: where a count is not known exactly (a hit that named no version, a hit still pending,
// a latency known only to its bin) the e-process is evaluated at the least favourable assignment. It is then at most the
// e-process of the true counts, and what is at most an e-process errs no more often than one.
//
// The formulas are derived in the design's statistics.md; the numbers in parentheses (2.1 to 2.8) are its sections.
package sequential

import (
	"fmt"
	"math"
)

// Levels are the gate's error rates and the hits it may spend.
type Levels struct {
	Alpha  float64 // P(promote although a bound is violated), above 0 and below 1
	Beta   float64 // P(block although all bounds hold), above 0 and below 1
	Budget uint64  // hits that may be spent, at least 1; fixes how small a deviation the grids look for, never what they prove
}

// Validate names the first field that is out of its range.
func (l Levels) Validate() error {
	if !inside(l.Alpha) {
		return fmt.Errorf("alpha %v must be above 0 and below 1", l.Alpha)
	}
	if !inside(l.Beta) {
		return fmt.Errorf("beta %v must be above 0 and below 1", l.Beta)
	}
	if l.Budget == 0 {
		return fmt.Errorf("budget 0 must be at least 1 hit")
	}
	return nil
}

// pass is log(1/alpha), what the evidence against "violated" must reach.
func (l Levels) pass() float64 { return -math.Log(l.Alpha) }

// fail is log(1/beta), what the evidence against "within bounds" must reach.
func (l Levels) fail() float64 { return -math.Log(l.Beta) }

// inside reports 0 < p < 1, which no NaN is.
func inside(p float64) bool { return p > 0 && p < 1 }
