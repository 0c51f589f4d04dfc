package analyze

import (
	"math"
	"time"

	"coalmine/attack"
)

// arming finds the window from which the canary may be judged: the change has reached the gateway's hosts, and both
// arms are warm. The rule (statistics.md 2.8) looks at shares and never at what is judged, so it costs no error
// probability: once a window has been seen whose recent share is near the configured one, half as long again as the
// way there is let pass; at settle waiting ends, armed or not.
type arming struct {
	share, tolerance float64
	need             uint64 // answers of both arms over which a share is looked at
	warm             uint64 // hits each arm needs after the canary's first
	settle           int64  // window in which waiting ends; unknown while negative

	first, armed, start int64 // windows; -1 while unknown
	looked              bool  // there were answers enough to see the share
	recent              []armHits
	base, canary        uint64 // hits since first
	warmed              bool
}

type armHits struct{ base, canary uint64 }

func newArming(share, margin float64, warm int) *arming {
	need := max(400, uint64(math.Ceil(225*(1-share)/share)))
	return &arming{
		share:     share,
		tolerance: max(min(margin, share/5), 3*math.Sqrt(share*(1-share)/float64(need))),
		need:      need, warm: uint64(warm), settle: -1, first: -1, armed: -1, start: -1,
	}
}

// from begins the wait: the last change was complete at that time, and settle later waiting ends.
func (a *arming) from(at, settle time.Duration) {
	a.settle = int64((at + settle) / attack.WindowLength)
}

// add looks at the next window in due order.
func (a *arming) add(index int64, w armHits) {
	if a.settle < 0 || a.start >= 0 && index >= a.start {
		return
	}
	if a.first < 0 && w.canary > 0 {
		a.first = index
	}
	if a.first >= 0 {
		a.base += w.base
		a.canary += w.canary
		a.warmed = a.warmed || a.base >= a.warm && a.canary >= a.warm
		a.remember(w)
	}
	if a.armed < 0 && a.first >= 0 && a.steady() {
		a.armed = index
	}
	if a.start < 0 && a.armed >= 0 && a.warmed {
		hold := (a.armed - a.first + 1) / 2
		a.start = max(a.armed+1+hold, index+1)
	}
	if a.start < 0 && index >= a.settle-1 || a.start > a.settle {
		a.start = max(a.settle, index+1)
	}
}

// remember keeps the fewest last windows that hold the needed answers.
func (a *arming) remember(w armHits) {
	a.recent = append(a.recent, w)
	total := uint64(0)
	for i := len(a.recent) - 1; i >= 0; i-- {
		if total += a.recent[i].base + a.recent[i].canary; total >= a.need {
			a.recent = a.recent[i:]
			return
		}
	}
}

func (a *arming) steady() bool {
	var sum armHits
	for _, w := range a.recent {
		sum.base += w.base
		sum.canary += w.canary
	}
	n := sum.base + sum.canary
	a.looked = a.looked || n >= a.need
	return n >= a.need && math.Abs(float64(sum.canary)/float64(n)-a.share) <= a.tolerance
}

// judging reports whether the window of this index is counted by the checks.
func (a *arming) judging(index int64) bool { return a.start >= 0 && index >= a.start }
