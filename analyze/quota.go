package analyze

import (
	"time"

	"coalmine/analyze/capacity"
	"coalmine/attack"
)

// quota is what a trial sees of a limit on the number of requests, which is a token bucket's: how many more than it refills
// it held, and what it lets through once it is empty.
type quota struct {
	begun, held   time.Duration // of the load; until the first was refused
	windows       int           // since
	hits, refused uint64        // in these
}

const (
	fewestRefusing = 5   // windows that tell what a quota lets through
	steadily       = 20  // windows, if that is all there is to tell it by
	outlive        = 1.2 // times the burst that a quota was seen to hold
)

func (q *quota) add(w *attack.Window) {
	refused := classCount(w.Answers, attack.Throttled)
	switch {
	case q.held > 0:
		q.windows++
		q.refused += refused
		for t := range tallies(w.Answers) {
			q.hits += t.Hits
		}
	case refused > 0:
		q.held = w.End() - q.begun
	}
}

// allowed is what it lets through per second, 0 if that is not known.
func (q *quota) allowed() float64 {
	if q.windows == 0 {
		return 0
	}
	return float64(q.hits-min(q.refused, q.hits)) / (float64(q.windows) * attack.WindowLength.Seconds())
}

// burst is how many more than that went through of a load at a rate until it refused the first.
func (q *quota) burst(rate float64) float64 { return max(0, rate-q.allowed()) * q.held.Seconds() }

// livesOff is how long a load at a rate may live off the bursts that quotas held in earlier trials.
func livesOff(rate float64, earlier []TrialReport) (most time.Duration) {
	for _, t := range earlier {
		if t.Outcome == capacity.Limited && t.Allowed > 0 && t.Allowed < rate {
			most = max(most, time.Duration(outlive*t.Burst/(rate-t.Allowed)*float64(time.Second)))
		}
	}
	return most
}
