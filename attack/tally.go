package attack

import (
	"cmp"
	"context"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxExamples     = 2   // a run
	maxVersionBytes = 128 // a longer "version" is no name for one
)

// A clock counts from the epoch of a run, monotonic.
type clock func() time.Duration

func clockSince(epoch time.Time) clock {
	now := time.Now()
	if epoch.IsZero() {
		epoch = now
	}
	ahead := now.Sub(epoch) // an epoch that was once on disk has lost its monotonic part
	return func() time.Duration { return ahead + time.Since(now) }
}

// An outcome is what became of one hit.
type outcome struct {
	number              uint64        // of the load, from 0
	target              int           // which of the plan's
	due, sent, answered time.Duration // on the run's clock
	class               Class
	status              int    // 0: no answer
	version             []byte // empty: none was found
	cause               Cause  // why not
	turn                turn
	resent              bool      // sent a second time
	id                  RequestID // of one without a version, if hits have ids
	example             string
	in, out             int64 // bytes of the answer's body, and of the whole request
}

// tally counts hits into the windows they were due in, and seals these in due order.
//
// One mutex guards it all, held for one add: an open window holds a few hundred buckets, and a hit takes 0.4 us of it
// (BenchmarkTally) beside some 13 us of everything else. Thirty processors would have to send for it to be the limit; a tally
// for each would have to be put together for every window.
type tally struct {
	phase    string
	parts    parts
	keepIDs  bool
	now      clock
	patience func() time.Duration
	due      func(before time.Duration) uint64 // how many hits are due before; nil in a closed loop, where sending decides

	examples atomic.Int32 // taken so far

	mu       sync.Mutex
	open     []*openWindow // from index first on
	first    int64
	end      time.Duration // no hit is due from here on
	limit    uint64        // no more hits than these
	taken    uint64        // hits of a closed loop
	carried  carried
	versions map[string]string
	ready    []Window
	finished bool

	returned  uint64        // since metered
	metered   time.Duration // on the clock
	processor time.Duration // used up to then

	kick   chan struct{} // to the sealer: the oldest window is complete
	signal chan struct{} // to the reader: windows are ready, or there will be no more
}

type openWindow struct {
	load
	due, sent, hits uint64 // due counts in a closed loop only
	unsent          uint64 // nothing comes of these any more
	answers         Answers
	parts           []Answers // by target
	dues            []uint64  // by target, in a closed loop only
	ids             int
	wake, blocked   Histogram
}

// load is how much the generator had to do in a stretch of time.
type load struct {
	busy     time.Duration // of the processors, as if there were one
	returned uint64
}

// carried is what belongs to no open window and goes into the one sealed next.
type carried struct {
	late          map[int64]*lateAnswers
	lateIDs       int
	turns         Turns
	resent        uint64
	wake, blocked Histogram // of hits that were sent after their window was sealed
	opened        Histogram
	examples      []string
}

type lateAnswers struct {
	Answers
	parts []Answers
}

func newTally(p Plan, now clock, start time.Duration) *tally {
	return &tally{
		phase:    p.Phase,
		parts:    newParts(p),
		keepIDs:  p.RequestIDs,
		now:      now,
		patience: p.patience,
		first:    int64(start / WindowLength),
		end:      math.MaxInt64,
		limit:    math.MaxUint64,
		versions: make(map[string]string),
		kick:     make(chan struct{}, 1),
		signal:   make(chan struct{}, 1),
	}
}

func windowEnd(index int64) time.Duration { return time.Duration(index+1) * WindowLength }

// at is the open window of a due time, nil where it is sealed.
func (t *tally) at(due time.Duration) *openWindow {
	i := int(int64(due/WindowLength) - t.first)
	if i < 0 {
		return nil
	}
	for len(t.open) <= i {
		t.open = append(t.open, new(openWindow))
	}
	return t.open[i]
}

// dueIn is the number of hits due in a window, up to the end of the load.
func (t *tally) dueIn(index int64) uint64 {
	if t.due == nil {
		return t.at(time.Duration(index) * WindowLength).due
	}
	from, to := t.dueRange(index)
	return to - from
}

// dueRange are the numbers of the hits of an open loop due in a window.
func (t *tally) dueRange(index int64) (from, to uint64) {
	return min(t.due(windowEnd(index-1)), t.limit), min(t.due(min(windowEnd(index), t.end)), t.limit)
}

// duesIn is dueIn by target.
func (t *tally) duesIn(index int64) []uint64 {
	if t.due == nil {
		return t.at(time.Duration(index) * WindowLength).dues
	}
	return t.parts.due(t.dueRange(index))
}

// take makes one hit of a closed loop due: now. The clock is read under the lock, so that no hit is due in a window
// already sealed.
func (t *tally) take() (number uint64, due time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if now >= t.end || t.taken == t.limit {
		return 0, 0, false
	}
	number = t.taken
	if t.taken++; t.taken == t.limit {
		t.end = now + 1
	}
	w := t.at(now)
	w.due++
	if len(t.parts.names) > 0 {
		if w.dues == nil {
			w.dues = make([]uint64, len(t.parts.names))
		}
		w.dues[t.parts.of[t.parts.order.of(number)]]++
	}
	w.sent++
	w.wake.Add(0)
	return number, now, true
}

// sent counts a hit of an open loop when it goes out.
func (t *tally) sent(due, sent time.Duration, blocked bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	wake, block := &t.carried.wake, &t.carried.blocked
	if w := t.at(due); w != nil {
		w.sent++
		wake, block = &w.wake, &w.blocked
	}
	if blocked {
		wake = block
	}
	wake.Add(sent - due)
}

// opened counts how long it took to open a connection.
func (t *tally) opened(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.carried.opened.Add(d)
}

// unsent takes back that a hit was sent, if its window is still open; its lateness stays.
func (t *tally) unsent(due time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w := t.at(due); w != nil {
		w.sent--
		w.unsent++
		t.completed(w)
	}
}

// answered counts what became of a hit.
func (t *tally) answered(o *outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.returned++
	switch o.turn {
	case turnSame:
		t.carried.turns.Same++
	case turnSwitched:
		t.carried.turns.Switched++
	}
	if o.resent {
		t.carried.resent++
	}
	if o.example != "" {
		t.carried.examples = append(t.carried.examples, o.example)
	}
	w := t.at(o.due)
	if w == nil {
		index := int64(o.due / WindowLength)
		if t.carried.late == nil {
			t.carried.late = make(map[int64]*lateAnswers)
		}
		if t.carried.late[index] == nil {
			t.carried.late[index] = new(lateAnswers)
		}
		late := t.carried.late[index]
		t.count(&late.Answers, &late.parts, o, &t.carried.lateIDs)
		return
	}
	t.count(&w.answers, &w.parts, o, &w.ids)
	w.hits++
	if o.answered >= windowEnd(t.first) {
		t.completed(w)
	}
}

// completed wakes the sealer if nothing more can come of the oldest window.
func (t *tally) completed(w *openWindow) {
	if w == t.open[0] && w.hits+w.unsent == t.dueIn(t.first) {
		notify(t.kick)
	}
}

// count adds a hit to the tally of who answered, and keeps the id of one that named nobody; kept is how many there are
// where this one belongs. It allocates for the first hit of each version in a window, and for ids.
func (t *tally) count(a *Answers, parts *[]Answers, o *outcome, kept *int) {
	if len(o.version) > 0 {
		arm := a.Arms[string(o.version)]
		if arm == nil {
			var version string
			if version, o.cause = t.intern(o.version); o.cause == "" {
				arm = tallyOf(&a.Arms, version)
			}
		}
		if arm != nil {
			arm.add(o)
			t.parts.count(parts, o, t.versions[string(o.version)], "")
			return
		}
	}
	cause := firstCause(o.class, o.cause)
	tallyOf(&a.Unattributed, cause).add(o)
	t.parts.count(parts, o, "", cause)
	switch {
	case !t.keepIDs:
	case *kept == MaxIDs:
		a.BeyondIDs++
	default:
		*kept++
		h := o.anonymous(cause)
		h.Target = t.parts.name(o.target)
		a.IDs = append(a.IDs, h)
	}
}

func (o *outcome) anonymous(cause Cause) Anonymous {
	h := Anonymous{ID: o.id, Cause: cause, Class: o.class, Answered: o.answered}
	if o.class == "" {
		h.Response, h.Service = BinOf(o.answered-o.due), BinOf(o.answered-o.sent)
	}
	return h
}

// intern keeps one copy of a version's name. What cannot be one, because a terminal, a file or a person could not
// take it, is not recognised as one.
func (t *tally) intern(version []byte) (string, Cause) {
	name, known := t.versions[string(version)]
	switch {
	case known:
		return name, ""
	case !nameable(version):
		return "", Unrecognised
	case len(t.versions) == MaxVersions:
		return "", TooManyVersions
	}
	name = string(version)
	t.versions[name] = name
	return name, ""
}

func nameable(text []byte) bool {
	if len(text) > maxVersionBytes {
		return false
	}
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r == utf8.RuneError && n == 1 || !unicode.IsPrint(r) {
			return false
		}
		text = text[n:]
	}
	return true
}

func (t *Tally) add(o *outcome) {
	if o.class != "" {
		t.put(o.class, o.answered, 0, 0)
	} else {
		t.put("", o.answered, BinOf(o.answered-o.due), BinOf(o.answered-o.sent))
	}
}

// put counts one hit; the bins are those of a success.
func (t *Tally) put(class Class, answered time.Duration, response, service int) {
	if t.Hits == 0 || answered < t.First {
		t.First = answered
	}
	t.Last = max(t.Last, answered)
	t.Hits++
	if class != "" {
		if t.Errors == nil {
			t.Errors = make(map[Class]uint64)
		}
		t.Errors[class]++
		return
	}
	t.Response.AddBin(response, 1)
	t.Service.AddBin(service, 1)
}

// wantsExample reserves one of the run's examples.
func (t *tally) wantsExample() bool {
	return t.examples.Load() < maxExamples && t.examples.Add(1) <= maxExamples
}

// run seals windows until the last one, or until ctx ends; then interrupted says so.
func (t *tally) run(ctx context.Context) (interrupted bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-t.kick:
		case <-ctx.Done():
			return true
		}
		t.meter()
		wait, finished := t.sealComplete()
		if finished {
			return false
		}
		timer.Reset(wait)
	}
}

// meter notes what has been done since it did so last, in the window that this falls into. It costs a tenth of a
// millisecond, and so is not done for every seal.
func (t *tally) meter() {
	if t.processor > 0 && t.now()-t.metered < WindowLength/2 {
		return
	}
	used := processorTime()
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if middle := (t.metered + now) / 2; t.processor > 0 && middle < t.end {
		if w := t.at(middle); w != nil {
			w.busy += max(0, used-t.processor) / time.Duration(runtime.GOMAXPROCS(0)) // less: a thread that waited has ended
			w.returned += t.returned
		}
	}
	t.metered, t.processor, t.returned = now, used, 0
}

// sealComplete seals what can be sealed now and says when to look again.
func (t *tally) sealComplete() (wait time.Duration, finished bool) {
	patience := t.patience() // the caller's function: not under the lock
	t.mu.Lock()
	defer t.mu.Unlock()
	for now := t.now(); ; {
		if windowEnd(t.first-1) >= t.end {
			t.finished = true
			notify(t.signal)
			return 0, true
		}
		end := windowEnd(t.first)
		if now < end {
			return end - now, false
		}
		due := t.dueIn(t.first)
		if w := t.at(end - 1); w.hits+w.unsent < due && now < end+patience {
			// Patience may shrink, so look at least at every line of the grid.
			return min(end+patience, (now/WindowLength+1)*WindowLength) - now, false
		}
		t.seal(due)
	}
}

// sealRest seals what has evidence once nothing more can come.
func (t *tally) sealRest() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for windowEnd(t.first-1) < t.end {
		due := t.dueIn(t.first)
		c := &t.carried
		last := windowEnd(t.first) >= t.end
		if last && due == 0 && c.turns == (Turns{}) && c.resent == 0 && len(c.late)+len(c.wake)+len(c.blocked)+len(c.opened)+len(c.examples) == 0 {
			break
		}
		t.seal(due)
	}
	t.finished = true
}

// seal moves the oldest open window, and what is carried, to the reader.
func (t *tally) seal(due uint64) {
	w, dues := t.at(time.Duration(t.first)*WindowLength), t.duesIn(t.first)
	t.open[0] = nil
	t.open = t.open[1:]
	sealed := Window{
		Phase:    t.phase,
		Index:    t.first,
		Start:    time.Duration(t.first) * WindowLength,
		Length:   WindowLength,
		Due:      due,
		Sent:     w.sent,
		Hits:     w.hits,
		Pending:  due - w.hits,
		Answers:  w.answers,
		Targets:  t.parts.sealed(w.parts, dues),
		Turns:    t.carried.turns,
		Resent:   t.carried.resent,
		Wake:     w.wake,
		Blocked:  w.blocked,
		Opened:   t.carried.opened,
		Busy:     min(w.busy, WindowLength),
		Returned: w.returned,
		Examples: t.carried.examples,
	}
	sealed.Wake.Merge(t.carried.wake)
	sealed.Blocked.Merge(t.carried.blocked)
	for index, answers := range t.carried.late {
		sealed.Late = append(sealed.Late, Late{Index: index, Answers: answers.Answers, Targets: t.parts.sealed(answers.parts, nil)})
	}
	slices.SortFunc(sealed.Late, func(a, b Late) int { return cmp.Compare(a.Index, b.Index) })
	t.carried = carried{}
	t.first++
	t.ready = append(t.ready, sealed)
	notify(t.signal)
}

// stop ends the load at a time: nothing is due from there on.
func (t *tally) stop(end time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = min(t.end, end)
}

// sealed hands over the windows that are ready; more says whether others may follow.
func (t *tally) sealed() (windows []Window, more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	windows, t.ready = t.ready, nil
	return windows, !t.finished
}

// notify wakes whoever waits on a channel of one, now or next.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
