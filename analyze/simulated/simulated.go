// Package simulated makes windows of a canary that never ran, seeded: tests of verdicts judge thousands of releases
// without sending a request.
//
// The harness that measures the judge with it, whole releases at a time, prints its tables with
//
//	go test ./analyze -run Harness -harness -v -timeout 90m
//
// and `go test ./analyze` holds a short version of each table to three standard errors.
package simulated

import (
	"iter"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"time"

	"coalmine/attack"
)

// Version is how one version answers. The shares add up to at most 1.
type Version struct {
	Name      string        // as its answers say
	Median    time.Duration // of a lognormal response time
	Sigma     float64
	Errors    float64       // share of answers that are 5xx and name the version
	Anonymous float64       // share of answers that are 5xx and name none
	Hang      float64       // share of requests that hang: 504 after Gateway, if the client waits so long, else its timeout
	Gateway   time.Duration // 0: the gateway waits for ever
	Nameless  float64       // share of answers that are good and name no version
	Burst     Burst
}

// Burst is a stretch of a version's hits that goes worse than the others. The zero Burst never comes.
type Burst struct {
	Share  float64 // of the version's hits, 0 to 1
	Mean   float64 // hits, at least 1; geometric
	Errors float64 // share, in place of the version's Errors
}

// Canary is a stage with a canary on it.
type Canary struct {
	Seed             uint64
	Phase            string
	Rate             int           // hits per second, a multiple of 10
	Start            time.Duration // of the first window, on the grid
	Share            float64       // really applied, 0 to 1
	Arrives          time.Duration // since Start: the share grows from 0 ...
	Spread           time.Duration // ... over this long, host by host
	Timeout          time.Duration
	Patience         time.Duration
	Baseline, Canary Version

	// What is nil or false below changes nothing. Times are since Start, of the beginning of a window.
	Load    func(at time.Duration) int                        // hits due in a window, in place of Rate
	Reached func(at time.Duration) float64                    // part of the hosts that the change has reached, in place of Arrives and Spread
	Drift   func(at time.Duration, baseline, canary *Version) // changes the versions for one window
	Turns   bool                                              // consecutive answers are counted as one connection sees them
	Told    func(index int64, baseline, canary Risk)          // what the hits of a window risked, before it is handed over
}

// Risk is what a version's hits in a window were exposed to.
type Risk struct {
	Hits   int
	Errors float64 // sum of each hit's probability to fail, hanging included
}

// Ramp reaches the hosts evenly, from a time on and for so long.
func Ramp(from, length time.Duration) func(time.Duration) float64 {
	return func(at time.Duration) float64 {
		if length <= 0 {
			return max(0, min(1, float64(at-from)+1))
		}
		return max(0, min(1, float64(at-from)/float64(length)))
	}
}

// Hosts is reached one by one: each host so late.
func Hosts(late ...time.Duration) func(time.Duration) float64 {
	return func(at time.Duration) float64 {
		n := 0
		for _, l := range late {
			if at >= l {
				n++
			}
		}
		return float64(n) / float64(len(late))
	}
}

const hosts = 8

func (c Canary) reached(at time.Duration) float64 {
	switch {
	case c.Reached != nil:
		return c.Reached(at)
	case at < c.Arrives+c.Spread:
		return max(math.Floor(hosts*float64(at-c.Arrives)/float64(max(c.Spread, 1)))/hosts, 0)
	}
	return 1
}

// answer is who answered, and what.
type answer struct {
	name   string // none: cause says why
	status attack.Class
	cause  attack.Cause
}

// of is where the answer counts.
func (a answer) of(in *attack.Answers) *attack.Tally {
	if a.name != "" {
		return tally(&in.Arms, a.name)
	}
	return tally(&in.Unattributed, a.cause)
}

// hit is one that returns late.
type hit struct {
	answer
	window int64
	takes  time.Duration
}

// stage is a Canary in traffic.
type stage struct {
	Canary
	random  *rand.Rand
	weather *rand.Rand      // of bursts: with or without them, the rest stays the same
	waiting map[int64][]hit // by the window in whose time they return
	in      [2]bool         // a burst
	last    int             // arm of the last answer, -1: none yet

	good [2]counts // of the present window
	bad  map[answer]*attack.Tally
}

// Windows yields them in due order, sealed by the rule of attack.Run, until the caller has enough.
func (c Canary) Windows() iter.Seq[attack.Window] {
	return func(yield func(attack.Window) bool) {
		s := &stage{Canary: c, random: rand.New(rand.NewPCG(c.Seed, 7)), weather: rand.New(rand.NewPCG(c.Seed, 11)),
			waiting: map[int64][]hit{}, last: -1, bad: map[answer]*attack.Tally{}}
		first := int64(c.Start / attack.WindowLength)
		for index := first; ; index++ {
			w := s.window(index)
			w.Late = s.late(index)
			if !yield(w) {
				return
			}
		}
	}
}

func (s *stage) window(index int64) attack.Window {
	w := attack.Window{Phase: s.Phase, Index: index, Start: time.Duration(index) * attack.WindowLength, Length: attack.WindowLength}
	at := w.Start - s.Start
	due := s.Rate / 10
	if s.Load != nil {
		due = s.Load(at)
	}
	w.Due, w.Sent = uint64(due), uint64(due)
	w.Wake.AddBin(1, uint64(due))
	versions := [2]Version{s.Baseline, s.Canary.Canary}
	if s.Drift != nil {
		s.Drift(at, &versions[0], &versions[1])
	}
	share := s.Share * s.reached(at)
	var risk [2]Risk
	for range due {
		s.hit(&w, &versions, share, &risk)
	}
	for arm := range s.good {
		if g := &s.good[arm]; g.hits > 0 {
			g.into(tally(&w.Arms, versions[arm].Name), w.Start)
		}
	}
	for a, t := range s.bad {
		a.of(&w.Answers).Merge(t)
	}
	clear(s.bad)
	if s.Told != nil {
		s.Told(index, risk[0], risk[1])
	}
	return w
}

// hit draws one. The order of the draws is part of what a seed means: reports in golden files hang on it.
func (s *stage) hit(w *attack.Window, versions *[2]Version, share float64, risk *[2]Risk) {
	arm := 0
	if s.random.Float64() < share {
		arm = 1
	}
	v := &versions[arm]
	takes := time.Duration(float64(v.Median) * math.Exp(v.Sigma*s.random.NormFloat64()))
	errors := v.Errors
	if v.Burst.Share > 0 && s.burst(arm, v.Burst) {
		errors = v.Burst.Errors
	}
	risk[arm].Hits++
	risk[arm].Errors += errors + v.Anonymous + v.Hang
	var a answer
	switch x := s.random.Float64(); {
	case x < errors:
		a = answer{v.Name, attack.ServerError, ""}
	case x < errors+v.Anonymous:
		a = answer{"", attack.ServerError, attack.No5xx}
	case x < errors+v.Anonymous+v.Hang:
		if a, takes = (answer{"", attack.Timeout, attack.NoTimeout}), s.Timeout; v.Gateway > 0 && v.Gateway < s.Timeout {
			a, takes = answer{"", attack.GatewayTime, attack.No504}, v.Gateway
		}
	case x < errors+v.Anonymous+v.Hang+v.Nameless:
		a = answer{"", "", attack.Unrecognised}
	default:
		a.name = v.Name
	}
	if takes > s.Patience {
		w.Pending++
		seals := int64(math.Ceil(float64(s.Patience) / float64(attack.WindowLength))) // windows from end to forced seal
		back := w.Index + max(int64(takes/attack.WindowLength)-seals, 1)
		s.waiting[back] = append(s.waiting[back], hit{a, w.Index, takes})
		return
	}
	w.Hits++
	if s.Turns && a.name != "" {
		switch s.last {
		case -1:
		case arm:
			w.Turns.Same++
		default:
			w.Turns.Switched++
		}
		s.last = arm
	}
	if a.status == "" && a.name != "" {
		s.good[arm].add(takes)
		return
	}
	t := s.bad[a]
	if t == nil {
		t = new(attack.Tally)
		s.bad[a] = t
	}
	add(t, a.status, takes, w.Start)
}

// burst tells whether the version's next hit falls into one.
func (s *stage) burst(arm int, b Burst) bool {
	leave := 1 / max(b.Mean, 1)
	x := s.weather.Float64()
	if s.in[arm] {
		s.in[arm] = x >= leave
	} else {
		s.in[arm] = x < leave*b.Share/(1-b.Share)
	}
	return s.in[arm]
}

// late are the answers to hits of earlier windows that return while this one is open.
func (s *stage) late(index int64) (all []attack.Late) {
	for _, h := range s.waiting[index] { // in the order in which they were due
		if len(all) == 0 || all[len(all)-1].Index != h.window {
			all = append(all, attack.Late{Index: h.window})
		}
		add(h.of(&all[len(all)-1].Answers), h.status, h.takes, time.Duration(h.window)*attack.WindowLength)
	}
	delete(s.waiting, index)
	return all
}

func add(t *attack.Tally, status attack.Class, takes, start time.Duration) {
	if at := start + takes; t.Hits == 0 || at < t.First {
		t.First = at
	}
	t.Hits, t.Last = t.Hits+1, max(t.Last, start+takes)
	if status == "" {
		t.Response.Add(takes)
		t.Service.Add(takes)
		return
	}
	if t.Errors == nil {
		t.Errors = map[attack.Class]uint64{}
	}
	t.Errors[status]++
}

func tally[K comparable](of *map[K]*attack.Tally, key K) *attack.Tally {
	if *of == nil {
		*of = map[K]*attack.Tally{}
	}
	t := (*of)[key]
	if t == nil {
		t = new(attack.Tally)
		(*of)[key] = t
	}
	return t
}

// counts are a version's good answers in one window, by bin: dense, as sparse ones would be sorted anew by each hit.
type counts struct {
	hits        uint64
	first, last time.Duration
	distinct    int
	held        [(attack.Bins + 63) / 64]uint64 // bins that hold something
	of          [attack.Bins]uint32
}

func (c *counts) add(takes time.Duration) {
	if c.hits == 0 || takes < c.first {
		c.first = takes
	}
	c.hits++
	c.last = max(c.last, takes)
	bin := attack.BinOf(takes)
	if c.of[bin]++; c.of[bin] == 1 {
		c.held[bin/64] |= 1 << (bin % 64)
		c.distinct++
	}
}

// into gives the counts to a tally and is empty then.
func (c *counts) into(t *attack.Tally, start time.Duration) {
	h := make(attack.Histogram, 0, c.distinct)
	for i := range c.held {
		for held := c.held[i]; held != 0; held &= held - 1 {
			bin := i*64 + bits.TrailingZeros64(held)
			h = append(h, attack.Bucket{Bin: bin, Count: uint64(c.of[bin])})
			c.of[bin] = 0
		}
		c.held[i] = 0
	}
	got := attack.Tally{Hits: c.hits, First: start + c.first, Last: start + c.last, Response: h, Service: slices.Clone(h)}
	if t.Hits > 0 { // the other version goes by the same name
		t.Merge(&got)
	} else {
		*t = got
	}
	c.hits, c.first, c.last, c.distinct = 0, 0, 0, 0
}
