package analyze

import (
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
	wake, blocked   attack.Histogram
	windows         int
	limited         int                // windows in which the generator's processors had no time left
	returned        uint64             // in these
	parts           map[string]*totals // of a load on several targets: due, hits, pending and answers of each
}

// add counts a window, but for the late answers in it, which belong to other windows.
func (t *totals) add(w *attack.Window) {
	if t.windows == 0 {
		t.from = w.Start
	}
	t.to = w.End()
	t.windows++
	t.due += w.Due
	t.sent += w.Sent
	t.hits += w.Hits
	t.pending += w.Pending
	t.merge(w.Answers)
	t.addParts(w.Targets)
	t.turns.Same += w.Turns.Same
	t.turns.Switched += w.Turns.Switched
	t.wake.Merge(w.Wake)
	t.blocked.Merge(w.Blocked)
	if float64(w.Busy) >= busyShare*float64(w.Length) {
		t.limited++
		t.returned += w.Returned
	}
}

// busyShare of its processors' time in use is a generator that can do no more.
const busyShare = 0.9

func (t *totals) merge(a attack.Answers) {
	a.IDs, a.BeyondIDs = nil, 0 // a whole run's would be many
	if !t.bare {
		t.Merge(a)
		return
	}
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

// late counts answers to hits that a window of the stretch left pending.
func (t *totals) late(l attack.Late) {
	n := answered(l.Answers)
	t.hits += n
	t.pending -= min(n, t.pending)
	t.merge(l.Answers)
	t.addParts(l.Targets)
}

func answered(a attack.Answers) (n uint64) {
	for _, tally := range a.Arms {
		n += tally.Hits
	}
	for _, tally := range a.Unattributed {
		n += tally.Hits
	}
	return n
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
	timeouts     uint64 // of the errors; slower than any bound
	response     attack.Histogram
}

func (a arm) successes() uint64 { return a.hits - a.errors }

// evidence is what the checks look at: the two arms, and what could be either's.
type evidence struct {
	baseline, canary arm
	errors           uint64           // without a version, pending hits not included
	timeouts         uint64           // of those
	successes        uint64           // without a version
	response         attack.Histogram // of those
	pending          uint64

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
	e.errors, e.timeouts, e.successes, e.response = 0, 0, 0, nil
}

func (a *arm) take(errors, timeouts uint64) {
	a.hits += errors
	a.errors += errors
	a.timeouts += timeouts
}

func (t *totals) evidence(baseline, canary string) evidence {
	e := evidence{baseline: armOf(t.Arms[baseline]), canary: armOf(t.Arms[canary]), pending: t.pending}
	for _, tally := range t.Unattributed {
		a := armOf(tally)
		e.errors += a.errors
		e.timeouts += a.timeouts
		e.successes += a.successes()
		e.response.Merge(a.response)
	}
	return e
}

func armOf(t *attack.Tally) arm {
	if t == nil {
		return arm{}
	}
	return arm{hits: t.Hits, errors: min(t.Failed(), t.Hits), timeouts: t.Errors[attack.Timeout], response: t.Response}
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
