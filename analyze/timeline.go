package analyze

import (
	"maps"
	"math"
	"slices"
	"time"

	"coalmine/attack"
)

// Timeline is a run as charts show it: some hundreds of moments, however long it was.
type Timeline struct {
	Length  time.Duration // of a moment; the last of a phase may be shorter
	Arms    []string      // baseline, canary, other versions
	Moments []Moment      // in order of time
	Courses []Course      // of the evidence
	Curves  []Curve       // of the latencies
}

// Moment is a stretch of one phase.
type Moment struct {
	Phase         string
	Start, Length time.Duration // since the run began
	Due, Sent     uint64
	Hits          uint64
	Pending       uint64              // of Due, never answered
	Arms          map[string]Answered // by version
	Unattributed  uint64              // hits that name no version
	Classes       map[string]uint64   // errors, whoever made them
	Judged        *Band               // nil while there is no word on the split
}

// Answered is what a version's answers were like. The quantiles are those of its successes, 1.6 % too high at most.
type Answered struct {
	Hits, Errors  uint64
	P50, P95, P99 time.Duration // 0: no success
}

// Band is what the split check knew at the end of a moment.
type Band struct {
	Canary    float64 // of the answers judged so far that name a version
	Low, High float64 // what was still possible: each end wrong with probability alpha at most, over all looks
}

// Course is the evidence of a check, as natural logarithms, at the end of moments.
type Course struct {
	Name           string
	At             []time.Duration
	Pass, Fail     []float64
	ToPass, ToFail float64 // where it suffices; ToPass is 0 without a PASS side
}

// Curve is the distribution of an arm's response times.
type Curve struct {
	Phase, Arm, Role string
	Errors           uint64 // beside the successes that the histogram holds
	Response         attack.Histogram
}

// Point is one quantile of a curve.
type Point struct {
	Quantile float64 // 0 to 1
	Latency  time.Duration
}

// Points are quantiles in even steps of log 1/(1-q), so many a power of ten, up to the last answer but one.
func (c Curve) Points(perDecade int) (points []Point) {
	total := c.Response.Total()
	if total == 0 {
		return nil
	}
	seen, at := uint64(0), 0
	for i := 0; ; i++ {
		left := math.Pow(10, -float64(i)/float64(perDecade))
		if left*float64(total) < 1 && i > 0 {
			return points
		}
		rank := max(uint64(math.Ceil((1-left)*float64(total))), 1)
		for seen < rank {
			seen += c.Response[at].Count
			at++
		}
		points = append(points, Point{1 - left, time.Duration(attack.BinStart(c.Response[at-1].Bin + 1))})
	}
}

const (
	mostSlots  = 512             // of a timeline; two neighbours become one when there are more
	coarse     = 8               // bins that a slot's histograms count as one
	courseStep = time.Second / 2 // at least, between two samples of the split and the evidence
)

// timeline keeps a run for charts, in flat memory.
type timeline struct {
	span    int64 // windows that a slot spans
	slots   []slot
	sampled time.Duration // when the evidence was looked at last
	names   []string      // of checks that were ever looked at
	needed  map[string][2]float64
}

type slot struct {
	phase              string
	first, last        int64 // windows
	due, sent, pending uint64
	attack.Answers
	share    *Band
	sampled  time.Duration
	evidence map[string]Evidence
	shown    map[string]Answered // as of the last time that somebody looked; nil: changed since
}

// add counts a window after it was judged.
func (t *timeline) add(w *attack.Window, p *phase) {
	t.span = max(t.span, 1)
	s := t.slot(w)
	s.last = w.Index
	s.due, s.sent, s.pending = s.due+w.Due, s.sent+w.Sent, s.pending+w.Pending
	s.take(w.Answers)
	for _, l := range w.Late {
		if late := t.at(l.Index); late != nil {
			late.pending -= min(answered(l.Answers), late.pending)
			late.take(l.Answers)
		}
	}
	t.sample(s, w.End(), (w.Index+1)%t.span == 0, p)
}

// slot is the one that the window belongs to, a new one where none does.
func (t *timeline) slot(w *attack.Window) *slot {
	if n := len(t.slots); n > 0 && t.slots[n-1].phase == w.Phase && t.slots[n-1].first/t.span == w.Index/t.span {
		return &t.slots[n-1]
	}
	if len(t.slots) == mostSlots {
		t.thin()
		return t.slot(w)
	}
	t.slots = append(t.slots, slot{phase: w.Phase, first: w.Index})
	return &t.slots[len(t.slots)-1]
}

// thin doubles the span. Where so many phases follow each other that this does not halve their number, neighbours of
// different phases become one.
func (t *timeline) thin() {
	was := len(t.slots)
	t.span *= 2
	t.join(func(a, b *slot) bool { return a.phase == b.phase && a.first/t.span == b.first/t.span })
	if len(t.slots) == was {
		odd := false
		t.join(func(_, _ *slot) bool { odd = !odd; return odd })
	}
}

func (t *timeline) join(one func(a, b *slot) bool) {
	kept := t.slots[:1]
	for i := 1; i < len(t.slots); i++ {
		if a, b := &kept[len(kept)-1], &t.slots[i]; one(a, b) {
			a.merge(b)
		} else {
			kept = append(kept, *b)
		}
	}
	clear(t.slots[len(kept):])
	t.slots = kept
}

func (s *slot) merge(o *slot) {
	s.last = o.last
	s.due, s.sent, s.pending = s.due+o.due, s.sent+o.sent, s.pending+o.pending
	s.Merge(o.Answers)
	s.shown = nil
	if o.share != nil {
		s.share = o.share
	}
	if o.evidence != nil {
		s.sampled, s.evidence = o.sampled, o.evidence
	}
}

// at is the slot that holds a window, nil if none does.
func (t *timeline) at(index int64) *slot {
	i, _ := slices.BinarySearchFunc(t.slots, index, func(s slot, index int64) int {
		switch {
		case s.last < index:
			return -1
		case s.first > index:
			return 1
		}
		return 0
	})
	if i < len(t.slots) && t.slots[i].first <= index {
		return &t.slots[i]
	}
	return nil
}

// take counts answers with coarser histograms.
func (s *slot) take(a attack.Answers) {
	s.shown = nil
	for version, tally := range a.Arms {
		roughly(&s.Arms, version, tally)
	}
	for cause, tally := range a.Unattributed {
		roughly(&s.Unattributed, cause, tally)
	}
}

func roughly[K comparable](into *map[K]*attack.Tally, key K, from *attack.Tally) {
	rough := *from
	rough.Response, rough.Service = coarser(from.Response), nil
	if *into == nil {
		*into = map[K]*attack.Tally{}
	}
	if (*into)[key] == nil {
		(*into)[key] = &attack.Tally{}
	}
	(*into)[key].Merge(&rough)
}

// coarser counts each hit in the last bin of its group: a quantile is never shown too low.
func coarser(h attack.Histogram) attack.Histogram {
	out := make(attack.Histogram, 0, len(h))
	for _, b := range h {
		bin := min(b.Bin/coarse*coarse+coarse-1, attack.Bins-1)
		if n := len(out); n > 0 && out[n-1].Bin == bin {
			out[n-1].Count += b.Count
		} else {
			out = append(out, attack.Bucket{Bin: bin, Count: b.Count})
		}
	}
	return out
}

// sample looks at the split and the evidence where a slot ends, and where the verdict is given; after it nothing changes.
func (t *timeline) sample(s *slot, at time.Duration, ends bool, p *phase) {
	if p.during == nil && p.bake == nil || p.sampled {
		return
	}
	p.sampled = p.during != nil && p.during.done || p.bake != nil && p.bake.done
	if !ends && !p.sampled {
		return
	}
	if at-t.sampled < courseStep && !p.sampled {
		return
	}
	t.sampled = at
	if d := p.during; d != nil && d.split != nil {
		s.share = d.split.now(d)
	}
	s.sampled, s.evidence = at, map[string]Evidence{}
	readings, policy := p.readings()
	for _, r := range readings {
		name := r.check.name()
		if _, known := t.needed[name]; !known {
			t.names = append(t.names, name)
		}
		if t.needed == nil {
			t.needed = map[string][2]float64{}
		}
		t.needed[name] = r.thresholds(policy)
		s.evidence[name] = Evidence{Name: name, Pass: sixDigits(r.pass), Fail: sixDigits(r.fail)}
	}
}

// leave samples a phase that ends without a verdict.
func (t *timeline) leave(p *phase) {
	if n := len(t.slots); n > 0 && t.slots[n-1].phase == p.name && p.windows > 0 {
		t.sample(&t.slots[n-1], p.totals.to, true, p)
	}
}

// readings are the checks' as of the last window, with the policy that they are held to.
func (p *phase) readings() ([]reading, Policy) {
	if p.bake != nil {
		e := p.bake.evidence()
		return p.bake.readings(&e, false), p.bake.policy
	}
	return p.during.current(), p.during.policy
}

// thresholds are the logarithms of evidence that passes, 0 if nothing does, and fails.
func (r reading) thresholds(p Policy) (needed [2]float64) {
	if r.check.passes() {
		needed[0] = -math.Log(p.Alpha)
	}
	if needed[1] = -math.Log(p.Beta); r.weight > 0 {
		needed[1] -= math.Log(r.weight)
	}
	return [2]float64{sixDigits(needed[0]), sixDigits(needed[1])}
}

// now is what the check knows, nil before it may say anything.
func (c *splitCheck) now(d *during) *Band {
	if c.rest.N == 0 {
		return nil
	}
	e := d.evidence()
	sum := c.total()
	low, high := c.bounds(e.routed)
	share := float64(sum.Canary) / float64(max(sum.N-min(sum.Unclassified, sum.N), 1))
	return &Band{Canary: share, Low: sixDigits(low), High: sixDigits(high)}
}

// KeepTimeline makes the judge keep one from now on. It costs 35 to 45 us a window (BenchmarkReplay at 1,000 and 10,000/s).
func (j *Judge) KeepTimeline() { j.timeline = &timeline{} }

// Timeline is the run so far, for charts; nil where none is kept.
func (j *Judge) Timeline() *Timeline {
	t := j.timeline
	if t == nil {
		return nil
	}
	out := &Timeline{Length: time.Duration(max(t.span, 1)) * attack.WindowLength, Moments: make([]Moment, 0, len(t.slots))}
	seen := map[string]bool{}
	for i := range t.slots {
		m := t.slots[i].moment()
		for name := range m.Arms {
			seen[name] = true
		}
		out.Moments = append(out.Moments, m)
	}
	for _, name := range []string{j.header.Target.Baseline, j.header.Target.Canary} {
		if seen[name] {
			out.Arms = append(out.Arms, name)
			delete(seen, name)
		}
	}
	out.Arms = append(out.Arms, slices.Sorted(maps.Keys(seen))...)
	out.Courses = t.courses()
	out.Curves = j.curves()
	return out
}

func (s *slot) moment() Moment {
	m := Moment{Phase: s.phase, Start: time.Duration(s.first) * attack.WindowLength, Length: time.Duration(s.last+1-s.first) * attack.WindowLength,
		Due: s.due, Sent: s.sent, Hits: answered(s.Answers), Pending: s.pending, Unattributed: unattributed(s.Answers), Judged: s.share}
	if s.shown == nil {
		s.shown = make(map[string]Answered, len(s.Arms))
		for name, tally := range s.Arms {
			r := tally.Response
			s.shown[name] = Answered{Hits: tally.Hits, Errors: tally.Failed(), P50: r.Quantile(0.5), P95: r.Quantile(0.95), P99: r.Quantile(0.99)}
		}
	}
	m.Arms = s.shown
	for tally := range tallies(s.Answers) {
		m.classes(tally)
	}
	return m
}

func (m *Moment) classes(t *attack.Tally) {
	for class, n := range t.Errors {
		if m.Classes == nil {
			m.Classes = map[string]uint64{}
		}
		m.Classes[string(class)] += n
	}
}

func (t *timeline) courses() (courses []Course) {
	for _, name := range t.names {
		c := Course{Name: name, ToPass: t.needed[name][0], ToFail: t.needed[name][1]}
		for _, s := range t.slots {
			if e, ok := s.evidence[name]; ok {
				c.At, c.Pass, c.Fail = append(c.At, s.sampled), append(c.Pass, e.Pass), append(c.Fail, e.Fail)
			}
		}
		courses = append(courses, c)
	}
	return courses
}

// curves are those of each phase's arms, in order of time.
func (j *Judge) curves() (curves []Curve) {
	for _, p := range j.phases {
		shown := p.shown()
		for _, arm := range j.arms(p, shown) {
			if tally := shown.Arms[arm.Name]; tally != nil && arm.Role != "unattributed" {
				curves = append(curves, Curve{Phase: p.name, Arm: arm.Name, Role: arm.Role, Errors: tally.Failed(), Response: slices.Clone(tally.Response)})
			}
		}
	}
	return curves
}
