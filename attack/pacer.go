package attack

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

// A Pacer says when hits are due, counted from the start of the load. Schedule is the steady one. vegeta's pacers say
// how long to wait now, and so put whatever fell due in a stall at one instant; these are the inverses of the same
// curves, and a hit's due time is the same whenever it is asked for.
type Pacer interface {
	Due(hit uint64) time.Duration     // of hit 0, 1, ...; beyond the last hit never
	DueBefore(t time.Duration) uint64 // how many hits are due before t: the least n for which Due(n) >= t
	RateAt(t time.Duration) float64   // hits per second, expected
	Peak() float64                    // the highest RateAt
	String() string                   // for people; ParsePacer reads it
}

// never is the due time of a hit that will not come, far enough from the end of time to add to it.
const never = time.Duration(math.MaxInt64 / 4)

// A curve is a rate over time, known by how many hits are due up to each moment.
type curve interface {
	hits(seconds float64) float64 // from 0 to then; it does not fall
	at(hits float64) float64      // when it goes above so many; +Inf: never
	RateAt(t time.Duration) float64
	Peak() float64
	String() string
}

// paced makes hit i due when the curve goes above i.
type paced struct{ curve }

func (p paced) Due(hit uint64) time.Duration {
	return nanoseconds(p.at(float64(hit)))
}

func nanoseconds(seconds float64) time.Duration {
	if ns := seconds * 1e9; ns < float64(never) {
		return time.Duration(ns)
	}
	return never
}

func (p paced) DueBefore(t time.Duration) uint64 {
	if t <= 0 {
		return 0
	}
	n := uint64(p.hits(t.Seconds()))
	for n > 0 && p.Due(n-1) >= t { // what rounding did
		n--
	}
	for p.Due(n) < t {
		n++
	}
	return n
}

// A leg is a time in which the rate goes in a straight line.
type leg struct {
	from, to float64 // hits per second, at least 0
	length   time.Duration
}

// legs follow each other; after the last one its final rate goes on.
type legs struct {
	all   []leg
	ends  []float64 // seconds, of each leg
	sums  []float64 // hits up to there
	named string
}

func newLegs(named string, all []leg) (Pacer, error) {
	if len(all) == 0 {
		return nil, errors.New("no leg: want at least one rate and how long it lasts")
	}
	l := legs{all: all, named: named}
	seconds, hits := 0.0, 0.0
	for _, one := range all {
		switch {
		case !(one.from >= 0 && one.from <= maxRate && one.to >= 0 && one.to <= maxRate):
			return nil, fmt.Errorf("rates %v and %v: want 0 to 1000000 hits per second", one.from, one.to)
		case one.length <= 0:
			return nil, fmt.Errorf("length %v: want a positive time", one.length)
		}
		seconds += one.length.Seconds()
		hits += (one.from + one.to) / 2 * one.length.Seconds()
		l.ends, l.sums = append(l.ends, seconds), append(l.sums, hits)
	}
	if hits == 0 {
		return nil, errors.New("all rates are 0: want one above 0")
	}
	return paced{&l}, nil
}

// find is the leg in which something lies, given the ends of all, and where it starts; beyond the last there is another,
// without end.
func (l *legs) find(ends []float64, x float64) (found leg, seconds, hits float64) {
	i := sort.Search(len(ends), func(i int) bool { return ends[i] > x })
	if i > 0 {
		seconds, hits = l.ends[i-1], l.sums[i-1]
	}
	if i < len(l.all) {
		return l.all[i], seconds, hits
	}
	last := l.all[len(l.all)-1].to
	return leg{last, last, time.Hour}, seconds, hits
}

func (g leg) slope() float64 { return (g.to - g.from) / g.length.Seconds() }

func (l *legs) hits(t float64) float64 {
	on, start, hits := l.find(l.ends, t)
	t -= start
	return hits + t*(on.from+t*on.slope()/2)
}

func (l *legs) at(hits float64) float64 {
	on, start, before := l.find(l.sums, hits)
	h := hits - before
	switch {
	case on.from == 0 && on.to == 0: // only after the last leg: one that adds nothing ends no later than it begins
		return math.Inf(1)
	case h <= 0:
		return start
	}
	// The root of slope/2 t^2 + From t = h, in the form that does not cancel.
	root := on.from*on.from + 2*on.slope()*h
	t := 2 * h / (on.from + math.Sqrt(max(root, 0)))
	if t > on.length.Seconds() && on.slope() != 0 { // by rounding
		t = on.length.Seconds()
	}
	return start + t
}

func (l *legs) RateAt(t time.Duration) float64 {
	on, start, _ := l.find(l.ends, max(t, 0).Seconds())
	return on.from + (t.Seconds()-start)*on.slope()
}

func (l *legs) Peak() (peak float64) {
	for _, one := range l.all {
		peak = max(peak, one.from, one.to)
	}
	return peak
}

func (l *legs) String() string { return l.named }

// sine swings around a mean, from there upwards.
type sine struct {
	mean, amplitude float64
	period          time.Duration
}

func newSine(mean, amplitude float64, period time.Duration) (Pacer, error) {
	switch {
	case !(mean > 0 && mean <= maxRate):
		return nil, fmt.Errorf("mean rate %v: want more than 0, at most 1000000 hits per second", mean)
	case !(amplitude > 0 && amplitude < mean):
		return nil, fmt.Errorf("amplitude %v: want more than 0 and less than the mean, %v", amplitude, mean)
	case period <= 0:
		return nil, fmt.Errorf("period %v: want a positive time", period)
	}
	return paced{sine{mean, amplitude, period}}, nil
}

func (s sine) omega() float64 { return 2 * math.Pi / s.period.Seconds() }

func (s sine) hits(t float64) float64 {
	return s.mean*t + s.amplitude/s.omega()*(1-math.Cos(s.omega()*t))
}

// at bisects: the curve lies between mean t and mean t + 2 amplitude / omega.
func (s sine) at(hits float64) float64 {
	high := hits / s.mean
	low := max(0, high-2*s.amplitude/s.omega()/s.mean)
	for range 100 {
		middle := (low + high) / 2
		if middle <= low || middle >= high {
			break
		}
		if s.hits(middle) < hits {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

func (s sine) RateAt(t time.Duration) float64 {
	return s.mean + s.amplitude*math.Sin(s.omega()*t.Seconds())
}

func (s sine) Peak() float64 { return s.mean + s.amplitude }

func (s sine) String() string {
	return fmt.Sprintf("sine:%v/s:%v/s:%v", s.mean, s.amplitude, s.period)
}

// steady is Schedule as a curve.
type steady struct{ Schedule }

func (s steady) hits(t float64) float64  { return t * s.Peak() }
func (s steady) at(hits float64) float64 { return hits / s.Peak() }

// A poisson makes hits due at random: as many as a curve on average, each regardless of the others, as customers come
// who do not know of each other. The same seed gives the same times.
//
// It draws them in stretches of a window's length, each from a source of its own: how many, and then where. So any
// stretch can be drawn again, and what is kept is one number for each.
type poisson struct {
	curve
	seed uint64

	mu    sync.Mutex
	sums  []uint64 // hits up to the end of each stretch
	drawn int      // the stretch whose times these are
	times []time.Duration
}

// newPoisson makes the hits of a pacer random.
func newPoisson(p Pacer, seed uint64) (Pacer, error) {
	switch p := p.(type) {
	case paced:
		return &poisson{curve: p.curve, seed: seed, drawn: -1}, nil
	case Schedule:
		return &poisson{curve: steady{p}, seed: seed, drawn: -1}, nil
	}
	return nil, fmt.Errorf("poisson of %v: want a steady rate, a ramp, steps or a sine", p)
}

func (p *poisson) String() string { return "poisson:" + p.curve.String() }

// source is where a stretch comes from: its hits lie between from and from + mean on the curve.
func (p *poisson) source(stretch int) (random *rand.Rand, from, mean float64, count int) {
	random = rand.New(rand.NewPCG(p.seed, uint64(stretch)))
	from = p.hits((time.Duration(stretch) * WindowLength).Seconds())
	mean = p.hits((time.Duration(stretch+1) * WindowLength).Seconds()) - from
	return random, from, mean, poissonCount(random, mean)
}

// draw gives the times of a stretch, in order.
func (p *poisson) draw(stretch int) []time.Duration {
	if p.drawn == stretch {
		return p.times
	}
	random, from, mean, count := p.source(stretch)
	p.times, p.drawn = p.times[:0], stretch
	for range count {
		t := nanoseconds(p.at(from + random.Float64()*mean))
		p.times = append(p.times, min(max(t, time.Duration(stretch)*WindowLength), time.Duration(stretch+1)*WindowLength-1))
	}
	slices.Sort(p.times)
	return p.times
}

// poissonCount draws from Poisson's distribution: the sum of draws of a small mean each, by Knuth's product.
func poissonCount(random *rand.Rand, mean float64) (n int) {
	for ; mean > 0; mean -= 16 {
		for limit, product := math.Exp(-min(mean, 16)), random.Float64(); product > limit; product *= random.Float64() {
			n++
		}
	}
	return n
}

// upTo counts the hits of all stretches before one.
func (p *poisson) upTo(stretch int) uint64 {
	for len(p.sums) < stretch {
		n := len(p.sums)
		_, _, _, count := p.source(n)
		p.sums = append(p.sums, p.sum(n)+uint64(count))
	}
	return p.sum(stretch)
}

func (p *poisson) sum(stretch int) uint64 {
	if stretch == 0 {
		return 0
	}
	return p.sums[stretch-1]
}

func (p *poisson) Due(hit uint64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := len(p.sums); p.sum(n) <= hit; n++ {
		if so := p.hits((time.Duration(n) * WindowLength).Seconds()); math.IsInf(p.at(so), 1) {
			return never // the rate has fallen to 0 for good
		}
		p.upTo(n + 1)
	}
	stretch := sort.Search(len(p.sums), func(i int) bool { return p.sums[i] > hit })
	return p.draw(stretch)[hit-p.sum(stretch)]
}

func (p *poisson) DueBefore(t time.Duration) uint64 {
	if t <= 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	stretch := int(t / WindowLength)
	before := p.upTo(stretch)
	if t%WindowLength == 0 {
		return before
	}
	in, _ := slices.BinarySearch(p.draw(stretch), t)
	return before + uint64(in)
}

// ParsePacer reads how the rate goes over time:
//
//	500/s                          steady
//	ramp:100/s:500/s:60s           from, to, in what time; then on as it ends
//	steps:100/s:30s,200/s:30s      rates and how long each; then on with the last
//	sine:100/s:50/s:60s            mean, amplitude, period
//	poisson:...                    any of these, at random times
func ParsePacer(text string) (Pacer, error) {
	kind, rest, named := strings.Cut(text, ":")
	if !named {
		rate, err := ParseRate(text)
		return Schedule{rate}, err
	}
	p, err := parseCurve(kind, rest)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return p, nil
}

func parseCurve(kind, rest string) (Pacer, error) {
	parts := strings.Split(rest, ":")
	switch kind {
	case "poisson":
		p, err := ParsePacer(rest)
		if err != nil {
			return nil, err
		}
		return newPoisson(p, rand.Uint64())
	case "ramp":
		rates, length, err := parseRates(parts, 2, "ramp:100/s:500/s:60s")
		if err != nil {
			return nil, err
		}
		return newLegs("ramp:"+rest, []leg{{rates[0], rates[1], length}})
	case "sine":
		rates, period, err := parseRates(parts, 2, "sine:100/s:50/s:60s")
		if err != nil {
			return nil, err
		}
		return newSine(rates[0], rates[1], period)
	case "steps":
		var all []leg
		for step := range strings.SplitSeq(rest, ",") {
			rates, length, err := parseRates(strings.Split(step, ":"), 1, "steps:100/s:30s,200/s:30s")
			if err != nil {
				return nil, err
			}
			all = append(all, leg{rates[0], rates[0], length})
		}
		return newLegs("steps:"+rest, all)
	}
	return nil, errors.New("unknown: want a rate like 500/s, or ramp, steps, sine or poisson before a colon")
}

// parseRates reads some rates and a time.
func parseRates(parts []string, rates int, like string) (found []float64, length time.Duration, err error) {
	if len(parts) != rates+1 {
		return nil, 0, fmt.Errorf("want it like %s", like)
	}
	for _, text := range parts[:rates] {
		if text == "0" || text == "0/s" {
			found = append(found, 0)
			continue
		}
		rate, err := ParseRate(text)
		if err != nil {
			return nil, 0, err
		}
		found = append(found, PerSecond(rate))
	}
	if length, err = time.ParseDuration(parts[rates]); err != nil {
		return nil, 0, fmt.Errorf("%q: want a time like 60s, as in %s", parts[rates], like)
	}
	return found, length, nil
}
