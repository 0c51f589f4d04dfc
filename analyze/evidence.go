package analyze

import (
	"iter"
	"math"
	"time"

	"coalmine/attack"
)

// totals add up the windows of a stretch of the run.
type totals struct {
	bare            bool          // histograms are not wanted
	from, to        time.Duration // of due times, since the run began
	due, sent, hits uint64
	pending         uint64 // due and still unanswered, as of the last window added
	attack.Answers         // of hits due in the stretch, late ones included
	turns           attack.Turns
	resent          uint64 // sent a second time
	wake, blocked   attack.Histogram
	windows         int
	limited         int                // windows in which the generator's processors had no time left
	returned        uint64             // in these
	parts           map[string]*totals // of a load on several targets: due, hits, pending and answers of each

	standstills *standstills // whose response times do not count; nil: all do
	untimed     untimed
}

// untimed are the answers whose response times do not count, or not yet.
type untimed struct {
	pending int64
	arms    map[string]*[2]int64 // successes and timeouts
	others  [2]int64             // without a version
}

func (u *untimed) move(a attack.Answers, pending, sign int64) {
	u.pending += sign * pending
	move := func(sum *[2]int64, t *attack.Tally) {
		sum[0] += sign * int64(t.Hits-min(t.Failed(), t.Hits))
		sum[1] += sign * int64(t.Errors[attack.Timeout])
	}
	for version, t := range a.Arms {
		if u.arms == nil {
			u.arms = map[string]*[2]int64{}
		}
		if u.arms[version] == nil {
			u.arms[version] = new([2]int64)
		}
		move(u.arms[version], t)
	}
	for _, t := range a.Unattributed {
		move(&u.others, t)
	}
}

// add counts a window, but for the late answers in it, which belong to other windows. It gives back the window whose
// response times count now: where some do not, that is known of one window later.
func (t *totals) add(w *attack.Window) (timed *attack.Window) {
	if t.windows == 0 {
		t.from = w.Start
	}
	t.to = w.End()
	t.windows++
	t.due += w.Due
	t.sent += w.Sent
	t.hits += w.Hits
	t.pending += w.Pending
	t.count(w.Answers)
	t.untimed.move(w.Answers, int64(w.Pending), 1)
	t.addParts(w.Targets)
	t.turns.Same += w.Turns.Same
	t.turns.Switched += w.Turns.Switched
	t.resent += w.Resent
	t.wake.Merge(w.Wake)
	t.blocked.Merge(w.Blocked)
	if float64(w.Busy) >= busyShare*float64(w.Length) {
		t.limited++
		t.returned += w.Returned
	}
	if timed = w; t.standstills != nil {
		timed = t.standstills.add(w)
	}
	t.time(timed)
	return timed
}

// rest is add's answer where no window comes any more.
func (t *totals) rest() (timed *attack.Window) {
	if t.standstills != nil {
		timed = t.standstills.rest()
		t.time(timed)
	}
	return timed
}

// time counts the response times of a window.
func (t *totals) time(w *attack.Window) {
	if w == nil {
		return
	}
	t.times(w.Answers)
	t.untimed.move(w.Answers, int64(w.Pending), -1)
	for name, part := range w.Targets {
		own := t.parts[name]
		own.times(part.Answers)
		own.untimed.move(part.Answers, int64(part.Due)-int64(answered(part.Answers)), -1)
	}
}

// times merges histograms into what was counted.
func (t *totals) times(a attack.Answers) {
	if t.bare {
		return
	}
	merge := func(into, from *attack.Tally) {
		if into != nil && from != nil {
			into.Response.Merge(from.Response)
			into.Service.Merge(from.Service)
		}
	}
	for version, tally := range a.Arms {
		merge(t.Arms[version], tally)
	}
	for cause, tally := range a.Unattributed {
		merge(t.Unattributed[cause], tally)
	}
}

// busyShare of its processors' time in use is a generator that can do no more.
const busyShare = 0.9

// count counts answers, but for their response times.
func (t *totals) count(a attack.Answers) {
	for version, tally := range a.Arms {
		count(&t.Arms, version, tally)
	}
	for cause, tally := range a.Unattributed {
		count(&t.Unattributed, cause, tally)
	}
}

// count merges all but the histograms.
func count[K comparable](into *map[K]*attack.Tally, key K, from *attack.Tally) {
	if *into == nil {
		*into = map[K]*attack.Tally{}
	}
	if (*into)[key] == nil {
		(*into)[key] = &attack.Tally{}
	}
	bare := *from
	bare.Response, bare.Service = nil, nil
	(*into)[key].Merge(&bare)
}

// late counts answers to hits that a window of the stretch left pending, and reports whether their response times count.
func (t *totals) late(l attack.Late) (timed bool) {
	n := answered(l.Answers)
	t.hits += n
	t.pending -= min(n, t.pending)
	t.count(l.Answers)
	t.addParts(l.Targets)
	if timed = t.standstills == nil || !t.standstills.dropped[l.Index]; timed {
		t.times(l.Answers)
		for name, part := range l.Targets {
			t.parts[name].times(part.Answers)
			t.parts[name].untimed.move(part.Answers, -int64(answered(part.Answers)), -1)
		}
		return timed
	}
	t.untimed.move(l.Answers, -int64(n), 1)
	return timed
}

// tallies are those of all who answered, those without a version too.
func tallies(a attack.Answers) iter.Seq[*attack.Tally] {
	return func(yield func(*attack.Tally) bool) {
		for _, t := range a.Arms {
			if !yield(t) {
				return
			}
		}
		for _, t := range a.Unattributed {
			if !yield(t) {
				return
			}
		}
	}
}

func answered(a attack.Answers) (n uint64) {
	for t := range tallies(a) {
		n += t.Hits
	}
	return n
}

// failures is how many errors there are, whoever made them.
func failures(a attack.Answers) (k uint64) {
	for t := range tallies(a) {
		k += t.Failed()
	}
	return k
}

func unattributed(a attack.Answers) (n uint64) {
	for _, tally := range a.Unattributed {
		n += tally.Hits
	}
	return n
}

// arm is one version's part of the evidence.
type arm struct {
	hits, errors uint64
	response     attack.Histogram
	timed        uint64 // of the successes, those whose response times count
	timeouts     uint64 // of the errors, those whose response times would; slower than any bound
}

func (a arm) successes() uint64 { return a.hits - a.errors }

// evidence is what the checks look at: the two arms, and what could be either's.
type evidence struct {
	baseline, canary arm
	errors           uint64           // without a version, pending hits not included
	timeouts         uint64           // of those, as an arm's
	successes        uint64           // without a version
	timed            uint64           // of those, as an arm's
	response         attack.Histogram // of those
	pending          uint64
	spared           uint64 // of those: when they come, their response times will not count

	// How many times wider than independent trials they spread, where the policy wants that allowed for; else 0.
	bursts, slowBursts, routed float64
}

// attribute hands out the errors without a version in proportion to the arms' answers: right if what takes the version
// away does not depend on it. The successes among them say nothing then, and are left out.
func (e *evidence) attribute() {
	named := e.baseline.hits + e.canary.hits
	if named == 0 {
		return
	}
	share := float64(e.canary.hits) / float64(named)
	errors, timeouts := uint64(math.Round(float64(e.errors)*share)), uint64(math.Round(float64(e.timeouts)*share))
	e.canary.take(errors, timeouts)
	e.baseline.take(e.errors-errors, e.timeouts-timeouts)
	e.errors, e.timeouts, e.successes, e.timed, e.response = 0, 0, 0, 0, nil
}

func (a *arm) take(errors, timeouts uint64) {
	a.hits += errors
	a.errors += errors
	a.timeouts += timeouts
}

func (t *totals) evidence(baseline, canary string) evidence {
	e := evidence{baseline: t.arm(baseline), canary: t.arm(canary), pending: t.pending, spared: uint64(max(t.untimed.pending, 0))}
	for _, tally := range t.Unattributed {
		a := armOf(tally)
		e.errors += a.errors
		e.timeouts += a.timeouts
		e.successes += a.successes()
		e.timed += a.timed
		e.response.Merge(a.response)
	}
	e.timed, e.timeouts = without(e.timed, t.untimed.others[0]), without(e.timeouts, t.untimed.others[1])
	return e
}

func (t *totals) arm(version string) arm {
	a := armOf(t.Arms[version])
	if u := t.untimed.arms[version]; u != nil {
		a.timed, a.timeouts = without(a.timed, u[0]), without(a.timeouts, u[1])
	}
	return a
}

// without is n without some of it.
func without(n uint64, some int64) uint64 { return n - min(uint64(max(some, 0)), n) }

// waiting is how many hits without an answer count as slow.
func (e *evidence) waiting() uint64 { return e.pending - min(e.spared, e.pending) }

func armOf(t *attack.Tally) arm {
	if t == nil {
		return arm{}
	}
	a := arm{hits: t.Hits, errors: min(t.Failed(), t.Hits), timeouts: t.Errors[attack.Timeout], response: t.Response}
	a.timed = a.successes()
	return a
}

func (e *evidence) arm(canary bool) arm {
	if canary {
		return e.canary
	}
	return e.baseline
}

// anonymous is the number of answers that name no version, and of hits that have no answer yet.
func (e *evidence) anonymous() uint64 { return e.errors + e.successes + e.pending }

// all is the number of hits due.
func (e *evidence) all() uint64 { return e.baseline.hits + e.canary.hits + e.anonymous() }

// atLeast is how many of the histogram lie in the bin that holds x or above: every hit that may be slower than x.
func atLeast(h attack.Histogram, x time.Duration) uint64 { return above(h, attack.BinOf(x)) }

// surelyAbove is how many lie above the bin that holds x: every hit that is slower than x for certain.
func surelyAbove(h attack.Histogram, x time.Duration) uint64 { return above(h, attack.BinOf(x)+1) }

func above(h attack.Histogram, bin int) (n uint64) {
	for _, b := range h {
		if b.Bin >= bin {
			n += b.Count
		}
	}
	return n
}
