package analyze

import (
	"coalmine/attack"
)

// A machine that stands still for a moment, as shared ones do, sends late what was due meanwhile, and reads late what was
// answered: those response times are its own. So they are left out (statistics.md 2.9): of windows in which it stood
// still, of the one before each, whose answers it read late, and of the one after, into which all that was held up went.
//
// Which windows these are depends on when requests went out, and on no answer: what is kept is a sample that the target
// has no part in, and every test stays valid for it. Who answered, and with which errors, is counted in all windows: a
// request that is late routes and fails as any other.
const (
	// A window is a standstill in which this many times validity.wake-share of the requests were late. So what wake-share
	// allows is never left out to more than three tenths, and a run that is valid with everything in it is valid without.
	standstillTimes = 10
	mostLeftOut     = Percentage(1. / 3) // of the requests; beyond that the rest is no fair picture of the time
)

// standstills decides which windows' response times count. It is one window behind: the next shows whether the machine
// stood still when the answers of this one were read.
type standstills struct {
	policy  ValidityPolicy
	held    *attack.Window
	skip    bool // the next window comes right after a standstill
	dropped map[int64]bool

	left       uint64 // due in windows that were left out
	kept       uint64 // due in the others
	sent, late uint64 // of those; late by wake-late
}

func newStandstills(v ValidityPolicy) *standstills {
	return &standstills{policy: v, dropped: map[int64]bool{}}
}

// add takes the next window and gives back one whose response times count, if that is known of any now.
func (s *standstills) add(w *attack.Window) (kept *attack.Window) {
	switch {
	case s.stoodIn(w):
		if s.held != nil {
			s.leave(s.held)
		}
		s.leave(w)
		s.held, s.skip = nil, true
		return nil
	case s.skip:
		s.leave(w)
		s.skip = false
		return nil
	}
	kept = s.rest()
	s.held = w
	return kept
}

// beside takes a window that is not counted: the first that is may come right after a standstill.
func (s *standstills) beside(w *attack.Window) { s.skip = s.stoodIn(w) }

// rest gives back the last window: none comes after it.
func (s *standstills) rest() (kept *attack.Window) {
	if kept = s.held; kept != nil {
		s.held = nil
		s.kept += kept.Due
		s.sent += kept.Sent
		s.late += surelyAbove(kept.Wake, s.policy.wakeLate())
	}
	return kept
}

func (s *standstills) stoodIn(w *attack.Window) bool {
	late := surelyAbove(w.Wake, s.policy.wakeLate())
	return float64(late) > standstillTimes*float64(s.policy.WakeShare)*float64(w.Due)
}

// leave leaves a window out. What went out in it after its own windows were sealed stays late: those windows are counted.
func (s *standstills) leave(w *attack.Window) {
	s.dropped[w.Index] = true
	s.left += w.Due
	if went := w.Wake.Total() + w.Blocked.Total(); went > w.Sent {
		earlier := min(went-w.Sent, surelyAbove(w.Wake, s.policy.wakeLate()))
		s.sent += earlier
		s.late += earlier
	}
}

// tooMany says that too little is left, "" if enough is.
func (s *standstills) tooMany() string {
	all := s.left + s.kept
	if all < fewestValid || Percentage(float64(s.left)/float64(all)) <= mostLeftOut {
		return ""
	}
	return sentence("the load generator was late: this machine stood still again and again; that spoils the response times of %s of %s requests, and %s may be left out",
		Count(s.left), Count(all), Share(float64(mostLeftOut)))
}

// said says what was left out, "" if nothing was.
func (s *standstills) said() string {
	if s == nil || s.left == 0 {
		return ""
	}
	return sentence("response times of %s of %s requests do not count: this machine stood still when they were due, or just before or after", Count(s.left), Count(s.left+s.kept))
}
