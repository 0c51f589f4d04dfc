package analyze

import (
	"time"

	"coalmine/attack"
)

// sieve leaves out the windows in which this machine stood still, the one before and the one after each. It is one window
// behind: the next shows whether the machine stood still when the answers of this one were read.
type sieve struct {
	beyond  time.Duration        // it is late
	most    float64              // of the due requests, 0 to 1, may be late; more are a standstill
	leave   func(*attack.Window) // takes what is left out
	held    *attack.Window
	skip    bool // the next window comes right after a standstill
	dropped map[int64]bool
}

func newSieve(beyond time.Duration, most float64, leave func(*attack.Window)) sieve {
	return sieve{beyond: beyond, most: most, leave: leave, dropped: map[int64]bool{}}
}

// add takes the next window and gives back one that counts, if that is known of any now.
func (s *sieve) add(w *attack.Window) (kept *attack.Window) {
	switch {
	case s.stoodIn(w):
		if s.held != nil {
			s.drop(s.held)
		}
		s.drop(w)
		s.held, s.skip = nil, true
		return nil
	case s.skip:
		s.drop(w)
		s.skip = false
		return nil
	}
	kept, s.held = s.held, w
	return kept
}

// beside takes a window that is not counted: the first that is may come right after a standstill.
func (s *sieve) beside(w *attack.Window) { s.skip = s.stoodIn(w) }

// rest gives back the last window: none comes after it.
func (s *sieve) rest() (kept *attack.Window) {
	kept, s.held = s.held, nil
	return kept
}

func (s *sieve) drop(w *attack.Window) {
	s.dropped[w.Index] = true
	s.leave(w)
}

func (s *sieve) stoodIn(w *attack.Window) bool { return float64(s.lateIn(w)) > s.most*float64(w.Due) }

func (s *sieve) lateIn(w *attack.Window) uint64 { return surelyAbove(w.Wake, s.beyond) }
