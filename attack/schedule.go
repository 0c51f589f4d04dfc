package attack

import (
	"math"
	"math/bits"
	"strconv"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// Schedule says when hits are due, counted from the first, which is due at 0. Integers throughout: the 10^9th hit is
// as exact as the first.
type Schedule struct {
	Rate vegeta.Rate // hits, at least 1, per positive time
}

// Due is when hit i is due: i/Rate, to the nanosecond below.
func (s Schedule) Due(i uint64) time.Duration {
	hi, lo := bits.Mul64(i, uint64(s.Rate.Per))
	freq := uint64(s.Rate.Freq)
	if hi >= freq {
		return math.MaxInt64
	}
	due, _ := bits.Div64(hi, lo, freq)
	return time.Duration(min(due, math.MaxInt64))
}

// DueBefore is how many hits are due before t: the least n for which Due(n) >= t.
func (s Schedule) DueBefore(t time.Duration) uint64 {
	if t <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(t), uint64(s.Rate.Freq))
	per := uint64(s.Rate.Per)
	lo, carry := bits.Add64(lo, per-1, 0) // Due rounds down, so its inverse rounds up
	hi += carry
	if hi >= per {
		return math.MaxUint64
	}
	n, _ := bits.Div64(hi, lo, per)
	return n
}

// RateAt is the rate.
func (s Schedule) RateAt(time.Duration) float64 { return PerSecond(s.Rate) }

// Peak is the rate.
func (s Schedule) Peak() float64 { return PerSecond(s.Rate) }

func (s Schedule) String() string {
	return strconv.FormatFloat(PerSecond(s.Rate), 'g', -1, 64) + "/s"
}

// Catch-up after a stall is bounded, because the target is production: never more than twice the rate, and what
// exceeds it by catchUpSlack at most, and never more than a rate that was forbidden. The slack lets an ordinary late wake-up send at once what fell due meanwhile.
const catchUpSlack = 10 * time.Millisecond

// catchUp spreads hits that fell due during a stall. It is a virtual schedule of twice the rate that a hit may
// overtake by no more than the slack.
type catchUp struct {
	step time.Duration // half the rate's interval
	most float64       // hits per second that are never exceeded; 0: any
	slot time.Duration // when the virtual schedule is free again
}

func newCatchUp(rate, most float64) catchUp {
	c := catchUp{most: most, slot: math.MinInt64 / 2}
	c.follow(rate)
	return c
}

// follow goes with a rate that changes. Where it is next to nothing the slack alone bounds what is sent.
func (c *catchUp) follow(rate float64) {
	c.step = catchUpSlack
	if rate > 0 {
		c.step = time.Duration(math.Ceil(min(1e9/(2*rate), float64(never))))
	}
	if c.most > 0 {
		c.step = max(c.step, time.Duration(math.Ceil(1e9/c.most)))
	}
}

// free is the earliest time at which the next hit may be sent.
func (c *catchUp) free() time.Duration { return c.slot - catchUpSlack }

// take notes that a hit is sent now.
func (c *catchUp) take(now time.Duration) { c.slot = max(c.slot, now) + c.step }
