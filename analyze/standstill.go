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

// standstills decides which windows' response times count.
type standstills struct {
	sieve
	left       uint64 // due in windows that were left out
	kept       uint64 // due in the others
	sent, late uint64 // of those; late by wake-late
}

func newStandstills(v ValidityPolicy) *standstills {
	s := &standstills{}
	s.sieve = newSieve(v.wakeLate(), standstillTimes*float64(v.WakeShare), s.leave)
	return s
}

// add takes the next window and gives back one whose response times count, if that is known of any now.
func (s *standstills) add(w *attack.Window) (kept *attack.Window) { return s.keep(s.sieve.add(w)) }

// rest gives back the last window: none comes after it.
func (s *standstills) rest() (kept *attack.Window) { return s.keep(s.sieve.rest()) }

func (s *standstills) keep(w *attack.Window) *attack.Window {
	if w != nil {
		s.kept += w.Due
		s.sent += w.Sent
		s.late += s.lateIn(w)
	}
	return w
}

// leave leaves a window out. What went out in it after its own windows were sealed stays late: those windows are counted.
func (s *standstills) leave(w *attack.Window) {
	s.left += w.Due
	if went := w.Wake.Total() + w.Blocked.Total(); went > w.Sent {
		earlier := min(went-w.Sent, s.lateIn(w))
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
