package analyze

import (
	"math"
	"time"

	"coalmine/attack"
)

// A trial is judged as if its answers were independent, and those of a queue are not: they come in bursts, each is as slow
// as those before it, and a trial begins with a queue that is empty. What came of it window by window shows how far that goes.
const (
	fewestSeconds = 3    // of a spread; less would see none in any trial that is short
	mostBlocks    = 12   // that a spread is seen over: they grow with the trial, because a queue that is nearly full moves slowly
	batches       = 20   // of windows, whose means are compared with each other
	enoughLooks   = 100  // independent ones, until a rate counts as held
	unrelated     = 0.6  // of all windows: if they are worth so many looks, they have little to do with each other
	still         = 0.1  // means that spread by less of their mean do not move
	growth        = 0.1  // of the goal width: an overload by so much still shows
	harmless      = 0.25 // of a bound: where response times stay below it, it does not matter how they move
)

// tick is what came of one window. Answers count in the window in which their hits were due or, late, known.
type tick struct {
	bad, of   []uint64 // by objective
	waited    float64  // seconds, all successes together
	successes uint64
	response  attack.Histogram
}

func (t *tick) mean() float64 { return t.waited / float64(t.successes) }

type ticks []tick

// at is a window's, of a trial with so many objectives.
func (all *ticks) at(i int64, objectives int) *tick {
	for int64(len(*all)) <= i {
		*all = append(*all, tick{bad: make([]uint64, objectives), of: make([]uint64, objectives)})
	}
	return &(*all)[i]
}

func (t *tick) wait(a arm) {
	t.successes += a.successes()
	t.response.Merge(a.response)
	for _, b := range a.response {
		t.waited += float64(b.Count) * attack.BinStart(b.Bin+1) / float64(time.Second)
	}
}

// bad is how many broke an objective, of how many.
func (all ticks) bad(objective int) (k, n uint64) {
	for i := range all {
		k, n = k+min(all[i].bad[objective], all[i].of[objective]), n+all[i].of[objective]
	}
	return k, n
}

// bursts is how many times wider than independent ones they spread that broke an objective, at least 1.
func (all ticks) bursts(objective int) float64 {
	block := int(windowsPerSecond) * max(1, len(all)/int(windowsPerSecond)/mostBlocks)
	var s spread
	for all = all[len(all)%block:]; len(all) > 0; all = all[block:] { // up to now: the last burst is what a trial fails by
		s.add(all[:block].bad(objective))
	}
	return s.over(fewestSeconds)
}

// slowest is how many times wider than independent ones the slowest spread, of which there is this share, and how slow these are: so
// would those that break a bound on latency, if there were as many.
func (all ticks) slowest(share float64) (bursts float64, from time.Duration) {
	var whole attack.Histogram
	for i := range all {
		whole.Merge(all[i].response)
	}
	from = whole.Quantile(1 - share)
	block := int(windowsPerSecond) * max(1, len(all)/int(windowsPerSecond)/mostBlocks)
	var s spread
	for all = all[len(all)%block:]; len(all) > 0; all = all[block:] {
		var k, n uint64
		for i := range all[:block] {
			k, n = k+atLeast(all[i].response, from), n+all[i].successes
		}
		s.add(k, n)
	}
	return s.over(fewestSeconds), from
}

// grow reports that response times rise from a tick on, by more than so much of a second per second, as those of a queue do that
// gets more than it can carry: by as much as its overload.
func (all ticks) grow(from int, overload float64) bool {
	var n, x, y, xx, xy, yy float64
	for i := from; i < len(all); i++ {
		if t := &all[i]; t.successes > 0 {
			at, mean := float64(i)*attack.WindowLength.Seconds(), t.mean()
			n, x, y, xx, xy, yy = n+1, x+at, y+mean, xx+at*at, xy+at*mean, yy+mean*mean
		}
	}
	if n < batches {
		return false
	}
	xx, xy, yy = xx-x*x/n, xy-x*y/n, yy-y*y/n
	slope := xy / xx
	return slope > overload && slope > math.Sqrt(max(0, yy-slope*xy)/(n-2)/xx)
}

// moves is how response times moved: their mean, how far the means of batches lie from it, and how many independent looks at the
// target that makes. Means of batches that follow each other in their own time spread no less than single windows do.
func (all ticks) moves() (mean, sd, looks float64) {
	var each, whole moments
	for size := len(all) / batches; size > 0 && len(all) >= size; all = all[size:] {
		var batch moments
		for i := range all[:size] {
			if t := &all[i]; t.successes > 0 {
				each.add(t.mean())
				batch.add(t.mean())
			}
		}
		if batch.n > 0 {
			whole.add(batch.mean())
		}
	}
	if whole.n < 2 {
		return each.mean(), 0, 0
	}
	between := whole.variance()
	if looks = each.n; between > 0 {
		looks = min(looks, whole.n*each.variance()/between)
	}
	return each.mean(), math.Sqrt(between), looks
}

// moments add up numbers.
type moments struct{ n, sum, squares float64 }

func (m *moments) add(x float64) { m.n, m.sum, m.squares = m.n+1, m.sum+x, m.squares+x*x }

func (m *moments) mean() float64 { return m.sum / max(m.n, 1) }

func (m *moments) variance() float64 {
	return max(0, m.squares-m.sum*m.mean()) / max(m.n-1, 1)
}
