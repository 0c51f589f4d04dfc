// Package simulated makes windows of a canary that never ran, seeded: tests of verdicts judge hundreds of releases
// without sending a request.
package simulated

import (
	"iter"
	"math"
	"math/rand/v2"
	"time"

	"coalmine/attack"
)

// Version is how one version answers.
type Version struct {
	Name      string        // as its answers say
	Median    time.Duration // of a lognormal response time
	Sigma     float64
	Errors    float64 // share of answers that are 5xx and name the version
	Anonymous float64 // share of answers that are 5xx and name none
	Hang      float64 // share of requests that run into the client's timeout
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
}

const hosts = 8

type hit struct {
	window  int64
	version Version
	status  attack.Class
	named   bool
	takes   time.Duration
}

// Windows yields them in due order, sealed by the rule of attack.Run, until the caller has enough.
func (c Canary) Windows() iter.Seq[attack.Window] {
	return func(yield func(attack.Window) bool) {
		random := rand.New(rand.NewPCG(c.Seed, 7))
		perWindow := c.Rate / 10
		first := int64(c.Start / attack.WindowLength)
		seals := int64(math.Ceil(float64(c.Patience) / float64(attack.WindowLength))) // windows from end to forced seal
		waiting := map[int64][]hit{}                                                  // by the window in whose time they return
		for index := first; ; index++ {
			w := attack.Window{Phase: c.Phase, Index: index, Start: time.Duration(index) * attack.WindowLength, Length: attack.WindowLength,
				Due: uint64(perWindow), Sent: uint64(perWindow)}
			w.Wake.AddBin(1, uint64(perWindow))
			for range perWindow {
				h := c.hit(random, w.Start-c.Start)
				h.window = index
				if h.takes <= c.Patience {
					add(&w.Answers, h, w.Start)
					w.Hits++
					continue
				}
				w.Pending++
				due := index + max(int64(h.takes/attack.WindowLength)-seals, 1)
				waiting[due] = append(waiting[due], h)
			}
			byWindow := map[int64]*attack.Late{}
			for _, h := range waiting[index] {
				l := byWindow[h.window]
				if l == nil {
					l = &attack.Late{Index: h.window}
					byWindow[h.window] = l
				}
				add(&l.Answers, h, w.Start)
			}
			delete(waiting, index)
			for past := first; past < index; past++ {
				if l := byWindow[past]; l != nil {
					w.Late = append(w.Late, *l)
				}
			}
			if !yield(w) {
				return
			}
		}
	}
}

func (c Canary) hit(random *rand.Rand, at time.Duration) hit {
	share := c.Share
	if at < c.Arrives+c.Spread {
		share *= max(math.Floor(hosts*float64(at-c.Arrives)/float64(max(c.Spread, 1)))/hosts, 0)
	}
	v := c.Baseline
	if random.Float64() < share {
		v = c.Canary
	}
	h := hit{version: v, named: true, takes: time.Duration(float64(v.Median) * math.Exp(v.Sigma*random.NormFloat64()))}
	switch x := random.Float64(); {
	case x < v.Errors:
		h.status = attack.ServerError
	case x < v.Errors+v.Anonymous:
		h.status, h.named = attack.ServerError, false
	case x < v.Errors+v.Anonymous+v.Hang:
		h.status, h.named, h.takes = attack.Timeout, false, c.Timeout
	}
	return h
}

func add(a *attack.Answers, h hit, at time.Duration) {
	var t *attack.Tally
	switch {
	case h.named:
		t = tally(&a.Arms, h.version.Name)
	case h.status == attack.Timeout:
		t = tally(&a.Unattributed, attack.NoTimeout)
	default:
		t = tally(&a.Unattributed, attack.No5xx)
	}
	at += h.takes
	if t.Hits == 0 || at < t.First {
		t.First = at
	}
	t.Hits, t.Last = t.Hits+1, max(t.Last, at)
	if h.status == "" {
		t.Response.Add(h.takes)
		t.Service.Add(h.takes)
		return
	}
	if t.Errors == nil {
		t.Errors = map[attack.Class]uint64{}
	}
	t.Errors[h.status]++
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
