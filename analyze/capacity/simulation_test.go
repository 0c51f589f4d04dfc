package capacity

import (
	"flag"
	"fmt"
	"regexp"
	"testing"
	"time"
)

// The table of the search on systems of known capacity, plain bisection beside it, comes from
//
//	go test ./analyze/capacity -run Harness -harness -v -timeout 2h
var (
	harness = flag.Bool("harness", false, "measure the search on many seeds of every system, and print the table")
	seeds   = flag.Int("seeds", 1000, "of the harness")
	full    = flag.Duration("full", 0, "Plan.Full of the harness")
	only    = flag.String("only", "", "pattern of the harness's systems")
)

// mm16 is a law of 16 servers of 20 ms: 800 hits per second at most.
var mm16 = law{servers: 16, means: []float64{0.020}, shares: []float64{1}, bound: 0.250}

func (s law) but(change func(*law)) law {
	change(&s)
	return s
}

var systems = []struct {
	name string
	system
	law bool // its answers are independent: no queue has to fill up first
}{
	{"M/M/16, sharp knee", mm16, true},
	{"M/M/50, soft knee", law{servers: 50, means: []float64{0.050}, shares: []float64{1}, bound: 0.300}, true},
	{"bimodal service", law{servers: 20, means: []float64{0.010, 0.060}, shares: []float64{0.9, 0.1}, bound: 0.250}, true},
	{"noisy, sigma 0.5 %", mm16.but(func(s *law) { s.noise = 0.005 }), true},
	{"noisy, and 5 % of trials at 70 %", mm16.but(func(s *law) { s.noise, s.disturbed, s.by = 0.005, 0.05, 0.7 }), true},
	{"M/M/16/40 that rejects, by events", queue{servers: 16, mean: 0.020, bound: 0.5, room: 40}, false},
	{"M/M/64/192 that rejects, by events", queue{servers: 64, mean: 0.050, bound: 0.5, room: 192}, false},
	{"M/M/16 that queues, by events", queue{servers: 16, mean: 0.020, bound: 0.150}, false},
	{"M/M/64 that queues, by events", queue{servers: 64, mean: 0.050, bound: 0.500}, false},
}

// figures of many searches on one system.
type figures struct {
	runs, covered, near, above, narrow, found, steady, trials int
	took                                                      time.Duration
	width                                                     float64
}

func measure(s system, seeds int, told func(seed uint64, r Result, done []Done)) (f figures) {
	truth := s.truth()
	for seed := range uint64(seeds) {
		r, took, done := search(seed, s, Plan{Hits: 5500, Full: *full})
		told(seed, r, done)
		f.runs++
		f.took += took
		f.trials += r.Trials
		if r.Drift == Steady {
			f.steady++
		}
		if r.Lower == nil || r.Lower.Rate > truth*1.05 { // above it by more than the width
			f.above++
		}
		if r.Kind != Found {
			continue
		}
		f.found++
		f.width += r.Width
		if r.Width <= 0.0505 { // rates are written in four digits
			f.narrow++
		}
		if r.Lower.Rate <= truth && truth <= r.Upper.Rate {
			f.covered++
		}
		if r.Lower.Rate*0.98 <= truth && truth <= r.Upper.Rate*1.02 {
			f.near++
		}
	}
	return f
}

func (f figures) String() string {
	n := float64(f.runs)
	return fmt.Sprintf("found %.3f, truth in the interval %.3f, or 2 %% beside it %.3f, above by more than the width %.3f, width <= 5 %% %.3f (mean %.1f %%), said to drift %.3f, %.1f trials, %.0f s",
		float64(f.found)/n, float64(f.covered)/n, float64(f.near)/n, float64(f.above)/n, float64(f.narrow)/n, 100*f.width/float64(max(f.found, 1)),
		1-float64(f.steady)/n, float64(f.trials)/n, f.took.Seconds()/n)
}

func TestHarness(t *testing.T) {
	if !*harness {
		t.Skip("long: see the command above")
	}
	for _, s := range systems {
		if !regexp.MustCompile(*only).MatchString(s.name) {
			continue
		}
		ours := measure(s.system, *seeds, func(uint64, Result, []Done) {})
		fmt.Printf("%s (truth %.1f): %s\n", s.name, s.truth(), ours)
		for _, seconds := range []int{2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240} {
			covered, took := 0, time.Duration(0)
			for seed := range uint64(min(*seeds, 300)) {
				lower, upper, each := plain(seed, s.system, time.Duration(seconds)*time.Second)
				if took += each; lower <= s.truth() && s.truth() <= upper {
					covered++
				}
			}
			n := float64(min(*seeds, 300))
			fmt.Printf("   plain bisection, %3d s a trial: truth in the interval %.3f, %.0f s\n", seconds, float64(covered)/n, took.Seconds()/n)
			if float64(covered)/n >= float64(ours.covered)/float64(ours.runs) {
				break
			}
		}
	}
}

func TestSearchFindsKnownCapacity(t *testing.T) {
	for _, s := range systems {
		t.Run(s.name, func(t *testing.T) {
			runs := 100
			if !s.law {
				runs = 8
			}
			f := measure(s.system, runs, func(seed uint64, r Result, done []Done) {
				if !testing.Verbose() || r.Kind == Found && r.Lower.Rate <= s.truth() && s.truth() <= r.Upper.Rate {
					return
				}
				t.Logf("seed %d, truth %.1f: %s %+v %+v", seed, s.truth(), r.Kind, r.Lower, r.Upper)
				for _, d := range done {
					t.Logf("  %8.1f %-8s %s at %s", d.Rate, d.Purpose, d.Outcome, d.At)
				}
			})
			if t.Log(f); f.above > 0 {
				t.Error("a lower bound lies above the truth by more than the goal width")
			}
			if s.law && (f.covered < 95*runs/100 || f.narrow < 97*runs/100) {
				t.Error("want the truth in 95 of 100 intervals, and 97 of 100 as narrow as asked for")
			}
			if !s.law && f.near < runs/2 {
				t.Error("want the truth in or 2 % beside the interval in half of the searches: trials begin with an empty queue")
			}
		})
	}
}
