package capacity_test

import (
	"math"
	"math/rand/v2"
	"time"

	"coalmine/analyze"
	"coalmine/analyze/capacity"
	"coalmine/attack"
)

// The systems on which the search is measured have a capacity that is known from queueing theory. They are judged by
// analyze.Trial, as the real ones are.

const look = attack.WindowLength

// system is a target under one load after the other.
type system interface {
	truth() float64        // highest rate at which the objectives hold: 99 % within the bound, 0.1 % errors
	within() time.Duration // the bound
	begin(rng *rand.Rand, rate float64, at time.Duration) (next func() answers)
}

// answers to what was due in a window.
type answers struct {
	n, slow, errors uint64
	refused         uint64 // with 429
	response        attack.Histogram
}

// tail is P(wait + service > t) of M/M/c at a rate, service a mixture of exponentials with these means and shares.
func tail(servers int, rate, t float64, means, shares []float64) float64 {
	mean := 0.0
	for i, m := range means {
		mean += m * shares[i]
	}
	drain := float64(servers)/mean - rate
	if drain <= 0 {
		return 1
	}
	wait := erlangC(servers, rate*mean)
	p := 0.0
	for i, m := range means {
		mu := 1 / m
		both := math.Exp(-mu*t) * (1 + mu*t)
		if math.Abs(drain-mu) > 1e-9 {
			both = (drain*math.Exp(-mu*t) - mu*math.Exp(-drain*t)) / (drain - mu)
		}
		p += shares[i] * ((1-wait)*math.Exp(-mu*t) + wait*both)
	}
	return p
}

// erlangC is the share of arrivals that wait, at a load in erlangs.
func erlangC(servers int, load float64) float64 {
	b := 1.0
	for n := 1; n <= servers; n++ {
		b = load * b / (float64(n) + load*b)
	}
	rho := load / float64(servers)
	return b / (1 - rho*(1-b))
}

// highest is the rate at which p reaches a limit; p rises with the rate.
func highest(most, limit float64, p func(rate float64) float64) float64 {
	low, high := 0.0, most
	for range 80 {
		if middle := (low + high) / 2; p(middle) <= limit {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// law draws independent answers from a known law of M/M/c. Trial by trial its capacity may move: by a share of noise, and
// at times by a disturbance.
type law struct {
	servers       int
	means, shares []float64 // of service, seconds
	bound         float64   // of p99, seconds
	noise         float64   // sigma of the logarithm, from trial to trial
	disturbed     float64   // share of trials ...
	by            float64   // ... whose capacity is so many times the usual one
	trend         float64   // growth of the capacity per second, share
}

func (s law) within() time.Duration { return time.Duration(s.bound * 1e9) }

func (s law) slow(rate float64) float64 { return tail(s.servers, rate, s.bound, s.means, s.shares) }

func (s law) truth() float64 { return highest(1e5, 0.01, s.slow) }

func (s law) begin(rng *rand.Rand, rate float64, at time.Duration) func() answers {
	capacity := math.Exp(s.noise*rng.NormFloat64()) * (1 + s.trend*at.Seconds())
	if rng.Float64() < s.disturbed {
		capacity *= s.by
	}
	p := s.slow(rate / capacity)
	carry := 0.0
	fast, slow := attack.BinOf(s.within()/2), attack.BinOf(2*s.within())
	return func() (a answers) {
		carry += rate * look.Seconds()
		a.n = uint64(carry)
		carry -= float64(a.n)
		a.errors = binomial(rng, a.n, 0.0001)
		a.slow = binomial(rng, a.n-a.errors, p)
		a.response.AddBin(fast, a.n-a.errors-a.slow)
		a.response.AddBin(slow, a.slow)
		return a
	}
}

// binomial counts by jumping from one to the next.
func binomial(rng *rand.Rand, n uint64, p float64) (k uint64) {
	switch {
	case p <= 0:
		return 0
	case p >= 1:
		return n
	}
	for at := -1.0; ; k++ {
		at += 1 + math.Floor(math.Log(1-rng.Float64())/math.Log1p(-p))
		if at >= float64(n) {
			return k
		}
	}
}

// queue is M/M/c with at most so many in the system, simulated arrival by arrival: it begins empty, fills up, and its
// answers depend on each other.
type queue struct {
	servers int
	mean    float64 // of service, seconds
	bound   float64 // of p99, seconds
	room    int     // in the system; 0: without end
	sigma   float64 // of the logarithm of service; 0: it is exponential
	paced   bool    // arrivals are evenly spaced
	known   float64 // truth, where no formula has it
}

func (s queue) within() time.Duration { return time.Duration(s.bound * 1e9) }

func (s queue) truth() float64 {
	if s.known > 0 {
		return s.known
	}
	if s.room > 0 {
		return highest(1e5, 0.001, s.blocked)
	}
	return highest(1e5, 0.01, func(rate float64) float64 { return tail(s.servers, rate, s.bound, []float64{s.mean}, []float64{1}) })
}

// blocked is Erlang's loss with waiting room.
func (s queue) blocked(rate float64) float64 {
	p, sum := 1.0, 1.0
	for n := 1; n <= s.room; n++ {
		p *= rate * s.mean / float64(min(n, s.servers))
		if sum += p; sum > 1e200 {
			p, sum = p/sum, 1
		}
	}
	return p / sum
}

func (s queue) begin(rng *rand.Rand, rate float64, _ time.Duration) func() answers {
	free := make([]float64, s.servers) // a heap of when each server is free
	var leaving []float64              // heap of who is in the system, where that is limited
	gap := func() float64 {
		if s.paced {
			return 1 / rate
		}
		return rng.ExpFloat64() / rate
	}
	next := gap()
	until := 0.0
	return func() (a answers) {
		for until += look.Seconds(); next < until; next += gap() {
			a.n++
			for len(leaving) > 0 && leaving[0] <= next {
				leaving = pop(leaving)
			}
			if s.room > 0 && len(leaving) >= s.room {
				a.errors++
				continue
			}
			end := max(free[0], next) + s.service(rng)
			free[0] = end
			sift(free, 0)
			if s.room > 0 {
				leaving = push(leaving, end)
			}
			if end-next > s.bound {
				a.slow++
			}
			a.response.Add(time.Duration((end - next) * 1e9))
		}
		return a
	}
}

func (s queue) service(rng *rand.Rand) float64 {
	if s.sigma == 0 {
		return s.mean * rng.ExpFloat64()
	}
	return s.mean * math.Exp(s.sigma*rng.NormFloat64()-s.sigma*s.sigma/2)
}

func sift(h []float64, i int) {
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(h); c++ {
			if h[c] < h[least] {
				least = c
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

func pop(h []float64) []float64 {
	h[0] = h[len(h)-1]
	h = h[:len(h)-1]
	sift(h, 0)
	return h
}

func push(h []float64, x float64) []float64 {
	h = append(h, x)
	for i := len(h) - 1; i > 0 && h[i] < h[(i-1)/2]; i = (i - 1) / 2 {
		h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
	}
	return h
}

// quota is a token bucket before a target that has enough: it is full when a trial begins.
type quota struct{ rate, burst float64 }

func (s quota) truth() float64 { return s.rate }

func (s quota) within() time.Duration { return time.Second }

func (s quota) begin(_ *rand.Rand, rate float64, _ time.Duration) func() answers {
	tokens, carry := s.burst, 0.0
	return func() (a answers) {
		tokens = min(tokens+s.rate*look.Seconds(), s.burst)
		carry += rate * look.Seconds()
		a.n = uint64(carry)
		carry -= float64(a.n)
		let := min(a.n, uint64(tokens))
		tokens -= float64(let)
		a.refused = a.n - let
		a.response.AddBin(attack.BinOf(20*time.Millisecond), let)
		return a
	}
}

// judge runs a trial on a system, and says how long it took.
func judge(rng *rand.Rand, s system, r analyze.Rating, t capacity.Trial, earlier []analyze.TrialReport, at time.Duration) (analyze.TrialReport, time.Duration) {
	trial, err := analyze.NewTrial(r, t, earlier)
	if err != nil {
		panic(err)
	}
	next := s.begin(rng, t.Rate, at)
	for i := int64(0); ; i++ {
		a := next()
		tally := &attack.Tally{Hits: a.n, Response: a.response, Service: a.response}
		if a.errors > 0 {
			tally.Errors = map[attack.Class]uint64{attack.ServerError: a.errors}
		} else if a.refused > 0 {
			tally.Errors = map[attack.Class]uint64{attack.Throttled: a.refused}
		}
		w := attack.Window{Index: i, Start: time.Duration(i) * look, Length: look, Due: a.n, Sent: a.n, Hits: a.n}
		w.Arms = map[string]*attack.Tally{"1": tally}
		if trial.Add(w); trial.Settled() {
			return trial.Report(at + w.End()), w.End()
		}
	}
}

// search runs a whole one as coalmine capacity does, without pauses: the time is the trials'.
func search(seed uint64, s system, budget time.Duration) (capacity.Result, time.Duration, []analyze.TrialReport) {
	rng := rand.New(rand.NewPCG(seed, 7))
	r := analyze.DefaultRating()
	r.Objectives = []analyze.Objective{{Quantile: 0.99, Max: analyze.Duration(s.within())}, {Errors: 0.001}}
	p := capacity.Plan{Highest: s.truth() * math.Exp(math.Log(3)+rng.Float64()*math.Log(4))} // somewhere on the grid, never the same
	p.Hits, p.Budget = r.Hits(0.01), budget
	p = p.Complete()
	p.Longest = r.Longest(p)
	run, err := capacity.New(p)
	if err != nil {
		panic(err)
	}
	r.Search = run.Plan()
	var now time.Duration
	var done []analyze.TrialReport
	for {
		t, more := run.Next(now, 0)
		if !more {
			return run.Result(), now, done
		}
		report, took := judge(rng, s, r, t, done, now)
		now += took
		done = append(done, report)
		if run.Add(report.Done); report.Breaker != "" {
			run.Stop(report.Breaker)
		}
	}
}

// plain is what one would do by hand: double until it fails, bisect, each trial as long as the other, judged by what was
// counted.
func plain(seed uint64, s system, length time.Duration) (lower, upper float64, took time.Duration) {
	rng := rand.New(rand.NewPCG(seed, 7))
	most := s.truth() * math.Exp(math.Log(3)+rng.Float64()*math.Log(4))
	holds := func(rate float64) bool {
		next := s.begin(rng, rate, took)
		var n, slow, errors uint64
		for range length / look {
			a := next()
			n, slow, errors = n+a.n, slow+a.slow, errors+a.errors
		}
		took += length
		return float64(slow) <= 0.01*float64(n) && float64(errors) <= 0.001*float64(n)
	}
	for lower, upper = most/200, most/100; holds(upper); upper *= 2 {
		lower = upper
	}
	for upper > lower*1.05 {
		if middle := math.Sqrt(lower * upper); holds(middle) {
			lower = middle
		} else {
			upper = middle
		}
	}
	return lower, upper, took
}
