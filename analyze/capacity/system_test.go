package capacity

import (
	"math"
	"math/rand/v2"
	"time"

	"coalmine/analyze/sequential"
)

// The systems on which the search is measured have a capacity that is known from queueing theory. They are judged as the
// real ones are: by sequential's bounds, every 100 ms.

const look = 100 * time.Millisecond

// system is a target under one load after the other. counts hands out what was due in each tenth of a second: hits, errors
// and slow answers.
type system interface {
	truth() float64 // highest rate at which the objectives hold
	limits() (slow, errors float64)
	begin(rng *rand.Rand, rate float64, at time.Duration) (counts func() (n, slow, errors uint64))
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

func (s law) limits() (float64, float64) { return 0.01, 0.001 }

func (s law) slow(rate float64) float64 { return tail(s.servers, rate, s.bound, s.means, s.shares) }

func (s law) truth() float64 { return highest(1e5, 0.01, s.slow) }

func (s law) begin(rng *rand.Rand, rate float64, at time.Duration) func() (n, slow, errors uint64) {
	capacity := math.Exp(s.noise*rng.NormFloat64()) * (1 + s.trend*at.Seconds())
	if rng.Float64() < s.disturbed {
		capacity *= s.by
	}
	p := s.slow(rate / capacity)
	carry := 0.0
	return func() (uint64, uint64, uint64) {
		carry += rate * look.Seconds()
		n := uint64(carry)
		carry -= float64(n)
		return n, binomial(rng, n, p), binomial(rng, n, 0.0001)
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
}

func (s queue) limits() (float64, float64) { return 0.01, 0.001 }

func (s queue) truth() float64 {
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

func (s queue) begin(rng *rand.Rand, rate float64, _ time.Duration) func() (n, slow, errors uint64) {
	free := make([]float64, s.servers) // a heap of when each server is free
	var leaving []float64              // heap of who is in the system, where that is limited
	next := rng.ExpFloat64() / rate
	until := 0.0
	return func() (n, slow, errors uint64) {
		for until += look.Seconds(); next < until; next += rng.ExpFloat64() / rate {
			n++
			for len(leaving) > 0 && leaving[0] <= next {
				leaving = pop(leaving)
			}
			if s.room > 0 && len(leaving) >= s.room {
				errors++
				continue
			}
			end := max(free[0], next) + s.mean*rng.ExpFloat64()
			free[0] = end
			sift(free, 0)
			if s.room > 0 {
				leaving = push(leaving, end)
			}
			if end-next > s.bound {
				slow++
			}
		}
		return n, slow, errors
	}
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

// spread is how much wider than independent hits those of each second scatter: answers that queue come in bursts.
type spread struct{ blocks, k, n, kk, kn, nn float64 }

func (s *spread) add(k, n uint64) {
	x, y := float64(k), float64(n)
	s.blocks++
	s.k, s.n, s.kk, s.kn, s.nn = s.k+x, s.n+y, s.kk+x*x, s.kn+x*y, s.nn+y*y
}

func (s *spread) factor() float64 {
	if s.blocks < 3 || s.k == 0 || s.k == s.n {
		return 1
	}
	p := s.k / s.n
	return max(1, (s.kk-2*p*s.kn+p*p*s.nn)/((s.blocks-1)*s.n/s.blocks*p*(1-p)))
}

// judge runs a trial on a system, and says how long it took. It is what analyze does with real ones.
func judge(rng *rand.Rand, s system, t Trial, at time.Duration) (Done, time.Duration) {
	slowLimit, errorLimit := s.limits()
	levels := sequential.Levels{Alpha: t.Risk, Beta: t.Risk / 2, Budget: uint64(t.Rate*t.Longest.Seconds()) + 1} // two objectives share the risk of a fail
	slowBound, _ := sequential.NewBound(slowLimit, levels)
	errorBound, _ := sequential.NewBound(errorLimit, levels)
	toPass, toFail := -math.Log(levels.Alpha), -math.Log(levels.Beta)
	counts := s.begin(rng, t.Rate, at)
	var now, second, half [3]uint64 // hits, slow, errors: in all, at the last full second, in the first half of the shortest time
	var slowSpread, errorSpread spread
	d := Done{Trial: t}
	for took := look; ; took += look {
		n, slow, errors := counts()
		now = [3]uint64{now[0] + n, now[1] + slow, now[2] + errors}
		if took%time.Second == 0 {
			slowSpread.add(now[1]-second[1], now[0]-second[0])
			errorSpread.add(now[2]-second[2], now[0]-second[0])
			second = now
		}
		if took <= t.Shortest/2 {
			half = now
		}
		slowB, errorB := slowBound.Tempered(slowSpread.factor()), errorBound.Tempered(errorSpread.factor())
		holds := func(from [3]uint64) bool {
			n := now[0] - from[0]
			return slowB.Pass(now[1]-from[1], n) >= toPass && errorB.Pass(now[2]-from[2], n) >= toPass
		}
		gross := took >= time.Second && 2*(now[1]+now[2]) > now[0]
		patient := took >= t.Shortest/2 || gross
		d.Good = float64(now[0]-now[1]-now[2]) / took.Seconds()
		switch {
		case patient && (slowB.Fail(now[1], now[0]) >= toFail || errorB.Fail(now[2], now[0]) >= toFail):
			d.Outcome = Fail
		case took >= t.Shortest && holds([3]uint64{}) && holds(half):
			d.Outcome = Pass
		case took >= t.Longest:
			d.Leaning = Pass
			if leans(now[1], now[0], slowLimit, slowB) || leans(now[2], now[0], errorLimit, errorB) {
				d.Leaning = Fail
			}
		default:
			continue
		}
		return d, took
	}
}

// leans: of few hits one error is no sign.
func leans(k, n uint64, limit float64, b sequential.Bound) bool {
	return float64(k) > limit*float64(n) && (limit*float64(n) >= 10 || b.Fail(k, n) > math.Log(3))
}

func leaning(n, slow, errors uint64, slowLimit, errorLimit float64) Outcome {
	if float64(slow) <= slowLimit*float64(n) && float64(errors) <= errorLimit*float64(n) {
		return Pass
	}
	return Fail
}

// search runs a whole one, without pauses: the time is the trials'.
func search(seed uint64, s system, p Plan) (Result, time.Duration, []Done) {
	rng := rand.New(rand.NewPCG(seed, 7))
	p.Highest = s.truth() * math.Exp(math.Log(3)+rng.Float64()*math.Log(4)) // somewhere on the grid, never the same
	run, err := New(p)
	if err != nil {
		panic(err)
	}
	var now time.Duration
	for {
		t, more := run.Next(now, 0)
		if !more {
			return run.Result(), now, run.done
		}
		d, took := judge(rng, s, t, now)
		now += took
		d.At = now
		run.Add(d)
	}
}

// plain is what one would do by hand: double until it fails, bisect, each trial as long as the other, judged by what was
// counted.
func plain(seed uint64, s system, length time.Duration) (lower, upper float64, took time.Duration) {
	rng := rand.New(rand.NewPCG(seed, 7))
	most := s.truth() * math.Exp(math.Log(3)+rng.Float64()*math.Log(4))
	slowLimit, errorLimit := s.limits()
	holds := func(rate float64) bool {
		counts := s.begin(rng, rate, took)
		var n, slow, errors uint64
		for range length / look {
			dn, ds, de := counts()
			n, slow, errors = n+dn, slow+ds, errors+de
		}
		took += length
		return leaning(n, slow, errors, slowLimit, errorLimit) == Pass
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
