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
	fewLooks      = 60   // independent ones, until a rate counts as held before its longest time: that no error came may be chance
	ofFew         = 1e-3 // of errors that are allowed: where more are, fewer looks would see some, by the root of it
	enoughLooks   = 100  // the same at any time, where errors did come
	unrelated     = 0.6  // of all windows: if they are worth so many looks, they have little to do with each other
	still         = 0.1  // means that spread by less of their mean do not move
	mostHidden    = 10   // times the delay that was seen, however little was seen of it
	growth        = 0.1  // of the goal width: an overload by so much still shows
)

// tick is what came of one window. Answers count in the window in which their hits were due or, late, known.
type tick struct {
	bad, of   []uint64 // by objective
	waited    float64  // seconds, all successes together
	successes uint64
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

// motion is how response times moved: their mean in seconds, how far the means of batches lie from it, and how many independent
// looks at the target that makes.
type motion struct{ mean, sd, looks float64 }

// moves has no fewer looks than there are for what moves faster than a batch, and corrects for batches that are like their
// neighbours by more than chance has them, for those of what moves more slowly.
func (all ticks) moves() motion {
	var each, whole moments
	var last, apart float64 // of neighbours
	for size := len(all) / batches; size > 0 && len(all) >= size; all = all[size:] {
		var batch moments
		for i := range all[:size] {
			if t := &all[i]; t.successes > 0 {
				each.add(t.mean())
				batch.add(t.mean())
			}
		}
		if batch.n == 0 {
			continue
		}
		if whole.n > 0 {
			apart += (batch.mean - last) * (batch.mean - last)
		}
		last = batch.mean
		whole.add(last)
	}
	if whole.n < 2 {
		return motion{mean: each.mean}
	}
	m, between := motion{mean: each.mean, looks: each.n}, whole.variance()
	if between > 0 {
		alike := max(0, 1-apart/(2*(whole.n-1)*between)-1/math.Sqrt(whole.n))
		m.sd = math.Sqrt(between)
		m.looks = min(m.looks, whole.n*each.variance()/between) * (1 - alike) / (1 + alike)
	}
	return m
}

// hidden is by how many seconds the slowest may be slower in the long run than those that were seen, of which there is this share,
// at a risk. Near saturation the delay of a queue is exponential (Kingman 1962): its quantiles are in proportion to its standard
// deviation, of which looks tell all but a share of sqrt(2/looks). That there are hundreds of looks says nothing of how
// exact the count of the slowest is: that is their test's.
func (m motion) hidden(share, risk float64) float64 {
	unsure := math.Sqrt2 * math.Erfinv(1-2*risk) * math.Sqrt(2/m.looks)
	if unsure < 1 {
		unsure /= 1 - unsure
	} else {
		unsure = mostHidden
	}
	return m.sd * math.Log(1/share) * min(unsure, mostHidden)
}

// moments are those of numbers (Welford 1962: what is the same everywhere has no variance).
type moments struct{ n, mean, squares float64 }

func (m *moments) add(x float64) {
	m.n++
	off := x - m.mean
	m.mean += off / m.n
	m.squares += off * (x - m.mean)
}

func (m *moments) variance() float64 { return m.squares / max(m.n-1, 1) }
