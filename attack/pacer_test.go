package attack

import (
	"math"
	"slices"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

func pacerOf(t testing.TB, text string) Pacer {
	t.Helper()
	p, err := ParsePacer(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Each pacer is the inverse of vegeta's rate: when hit i is due the integral of the rate is i.
func TestPacersInvertVegetasRates(t *testing.T) {
	check := func(text string, of vegeta.Pacer) {
		t.Helper()
		p := pacerOf(t, text)
		const step = 100 * time.Microsecond
		sum, due := 0.0, uint64(0)
		for at := time.Duration(0); at < 20*time.Second; at += step {
			if a, b := p.RateAt(at), of.Rate(at); math.Abs(a-b) > 1e-6*b {
				t.Fatalf("%s: %v/s at %v, vegeta %v/s", text, a, at, b)
			}
			next := sum + (of.Rate(at)+4*of.Rate(at+step/2)+of.Rate(at+step))/6*step.Seconds() // Simpson
			for ; float64(due) < next; due++ {
				if d := p.Due(due); d < at-2 || d > at+step+2 {
					t.Fatalf("%s: hit %d is due at %v, want %v and a little", text, due, d, at)
				}
			}
			sum = next
		}
		if due < 1000 {
			t.Errorf("%s: %d hits", text, due)
		}
	}
	check("100/s", vegeta.Rate{Freq: 100, Per: time.Second})
	check("ramp:100/s:500/s:20s", vegeta.LinearPacer{StartAt: vegeta.Rate{Freq: 100, Per: time.Second}, Slope: 20})
	check("ramp:500/s:100/s:20s", vegeta.LinearPacer{StartAt: vegeta.Rate{Freq: 500, Per: time.Second}, Slope: -20})
	check("sine:100/s:90/s:7s", vegeta.SinePacer{Mean: vegeta.Rate{Freq: 100, Per: time.Second}, Amp: vegeta.Rate{Freq: 90, Per: time.Second}, Period: 7 * time.Second})
}

// DueBefore counts what Due says, at every edge, and due times never fall.
func TestPacersCountWhatIsDue(t *testing.T) {
	for _, text := range []string{
		"ramp:0:1000/s:3s", "ramp:1000/s:10/s:5s", "steps:100/s:1s,0/s:2s,300/s:1s", "steps:7/s:1s,1000/s:100ms,7/s:1s", "sine:100/s:99/s:300ms",
		"poisson:200/s", "poisson:ramp:0:1000/s:3s", "poisson:1/s", "poisson:steps:100/s:1s,0/s:3s,100/s:1s", "poisson:sine:100/s:99/s:1s",
	} {
		p := pacerOf(t, text)
		last := time.Duration(-1)
		for i := range uint64(1000) {
			d := p.Due(i)
			if d < last {
				t.Fatalf("%s: hit %d is due at %v, the one before at %v", text, i, d, last)
			}
			if before, after := p.DueBefore(d), p.DueBefore(d+1); before > i || after <= i {
				t.Fatalf("%s: hit %d is due at %v, but %d before that and %d until then", text, i, d, before, after)
			}
			last = d
		}
	}
}

// The total is that of the curve, whatever the windows.
func TestPacersShareOutTheirHits(t *testing.T) {
	for text, want := range map[string]uint64{
		"ramp:100/s:300/s:10s": 2000 + 10*300, "steps:100/s:5s,200/s:15s": 3500, "sine:100/s:50/s:10s": 2000, "ramp:10/s:0/s:2s": 10, "steps:5/s:1s,0/s:1s": 5,
	} {
		p := pacerOf(t, text)
		var sum uint64
		for end := WindowLength; end <= 20*time.Second; end += WindowLength {
			sum += p.DueBefore(end) - p.DueBefore(end-WindowLength)
		}
		if sum != want {
			t.Errorf("%s: %d hits in 20 s, want %d", text, sum, want)
		}
	}
	for _, text := range []string{"ramp:10/s:0/s:2s", "steps:5/s:1s,0/s:1s", "poisson:steps:5/s:1s,0/s:1s"} {
		if d := pacerOf(t, text).Due(50); d != never {
			t.Errorf("%s: hit 50 is due at %v", text, d)
		}
	}
}

// Random hits come as Poisson has it: as many on average, as spread, with exponential pauses, the same for a seed.
func TestPoisson(t *testing.T) {
	base := pacerOf(t, "1000/s")
	p, _ := newPoisson(base, 7)
	again, _ := newPoisson(base, 7)
	const n = 100_000
	var pauses []float64
	for i := range uint64(n) {
		if p.Due(i) != again.Due(i) {
			t.Fatalf("hit %d: %v, and again %v", i, p.Due(i), again.Due(i))
		}
		pauses = append(pauses, (p.Due(i+1)-p.Due(i)).Seconds()*1000)
	}
	if seconds := p.Due(n).Seconds(); math.Abs(seconds-100) > 5*math.Sqrt(n)/1000 {
		t.Errorf("%d hits at 1,000/s in %v s", n, seconds)
	}
	slices.Sort(pauses)
	worst := 0.0 // Kolmogorov's distance
	for i, x := range pauses {
		worst = max(worst, math.Abs(float64(i)/n-(1-math.Exp(-x))))
	}
	if worst > 1.95/math.Sqrt(n) { // 0.1 %
		t.Errorf("the pauses are %v from exponential ones", worst)
	}
	sum, squares := 0.0, 0.0
	for end := 10 * time.Millisecond; end <= 100*time.Second; end += 10 * time.Millisecond {
		k := float64(p.DueBefore(end) - p.DueBefore(end-10*time.Millisecond))
		sum, squares = sum+k, squares+k*k
	}
	if mean := sum / 10000; math.Abs((squares/10000-mean*mean)/mean-1) > 0.07 { // 5 sigma
		t.Errorf("in 10 ms there are %v hits, variance %v", mean, squares/10000-mean*mean)
	}
}

func TestParsePacerSaysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"fast":               `want requests per time like 500, 500/s or 30/m, at least 0.001 and at most 1000000, got "fast"`,
		"cubic:1":            "cubic: unknown: want a rate like 500/s, or ramp, steps, sine or poisson before a colon",
		"ramp:1/s:60s":       "ramp: want it like ramp:100/s:500/s:60s",
		"ramp:1/s:2/s:soon":  `ramp: "soon": want a time like 60s, as in ramp:100/s:500/s:60s`,
		"ramp:1/s:2/s:-1s":   "ramp: length -1s: want a positive time",
		"ramp:0:0:1s":        "ramp: all rates are 0: want one above 0",
		"steps:1/s:1s,2/s":   "steps: want it like steps:100/s:30s,200/s:30s",
		"sine:10/s:10/s:1s":  "sine: amplitude 10: want more than 0 and less than the mean, 10",
		"sine:10/s:5/s:0s":   "sine: period 0s: want a positive time",
		"poisson:poisson:1":  "poisson: poisson of poisson:1/s: want a steady rate, a ramp, steps or a sine",
		"poisson:steps:0:1s": "poisson: steps: all rates are 0: want one above 0",
	} {
		if _, err := ParsePacer(text); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// A ramp from nothing, at random times: every hit that is due is sent, none for our own reasons late but by waking.
func TestRunFollowsItsPacer(t *testing.T) {
	t.Parallel()
	s := versions(t)
	for text, due := range map[string]uint64{"ramp:0:400/s:1s": 200, "steps:50/s:500ms,150/s:500ms": 100} {
		got := attack(t, Plan{Target: target(s.URL), Pacer: pacerOf(t, text), Duration: time.Second})
		if got.Due != due || got.Hits != due || got.windows != 10 {
			t.Errorf("%s: %d due, %d hits in %d windows, want %d in 10", text, got.Due, got.Hits, got.windows, due)
		}
	}
	random := pacerOf(t, "poisson:300/s")
	got := attack(t, Plan{Target: target(s.URL), Pacer: random, Duration: time.Second})
	if want := random.DueBefore(time.Second); got.Due != want || got.Hits != want {
		t.Errorf("random: %d due, %d hits, want %d", got.Due, got.Hits, want)
	}
}
