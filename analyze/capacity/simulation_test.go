package capacity_test

import (
	"flag"
	"fmt"
	"math"
	"regexp"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coalmine/analyze"
	"coalmine/analyze/capacity"
)

// The table of the search on systems of known capacity, plain bisection beside it, comes from
//
//	go test ./analyze/capacity -run Harness -harness -v -timeout 2h
var (
	harness = flag.Bool("harness", false, "measure the search on many seeds of every system, and print the table")
	budget  = flag.Duration("budget", 10*time.Minute, "of a search in the harness; capacity's default")
	seeds   = flag.Int("seeds", 1000, "of the harness")
	peer    = flag.Bool("plain", true, "bisect plainly, too")
	misses  = flag.Bool("misses", false, "print the trials of searches that miss the truth")
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
	{"D/G/16 of lognormal service, by events", queue{servers: 16, mean: 0.04789, sigma: 0.6, bound: 0.250, paced: true, known: 328.5}, false},
	{"a quota of 300/s that holds half a second", quota{rate: 300, burst: 150}, true},
	{"a quota of 1000/s that holds two seconds", quota{rate: 1000, burst: 2000}, true},
}

// figures of many searches on one system.
type figures struct {
	runs, found, covered, tooHigh, tooLow, far, narrow, drift, trials int

	took  time.Duration
	width float64
}

func measure(s system, seeds int, budget time.Duration) (f figures) {
	var each sync.Mutex
	var all sync.WaitGroup
	var next atomic.Uint64
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for seed := next.Add(1) - 1; seed < uint64(seeds); seed = next.Add(1) - 1 {
				r, took, done := search(seed, s, budget)
				each.Lock()
				f.add(seed, s.truth(), r, took, done)
				each.Unlock()
			}
		})
	}
	all.Wait()
	return f
}

func (f *figures) add(seed uint64, truth float64, r capacity.Result, took time.Duration, done []analyze.TrialReport) {
	f.runs, f.trials, f.took = f.runs+1, f.trials+r.Trials, f.took+took
	if r.Drift != capacity.Steady {
		f.drift++
	}
	held, failed := 0.0, math.Inf(1)
	if r.Lower != nil {
		held = r.Lower.Rate
	}
	if r.Upper != nil {
		failed = r.Upper.Rate
	}
	switch {
	case held > truth:
		f.tooHigh++
	case failed < truth:
		f.tooLow++
	case r.Kind == capacity.Found || r.Kind == capacity.Quota:
		f.covered++
	}
	if held > truth*1.05 || held == 0 {
		f.far++
	}
	if r.Kind == capacity.Found || r.Kind == capacity.Quota {
		f.found++
		f.width += r.Width
		if r.Width <= 0.05 {
			f.narrow++
		}
	}
	if *misses && (held > truth || failed < truth || r.Kind != capacity.Found && r.Kind != capacity.Quota || r.Width > 0.05) {
		fmt.Printf("   seed %d: %s %v to %v, %.1f %%\n", seed, r.Kind, held, failed, 100*r.Width)
		for _, d := range done {
			fmt.Printf("   %10.1f %+6.1f%% %-8s %-9s at %-7s %s %.3g\n", d.Rate, 100*(d.Rate/truth-1), d.Purpose, d.Outcome, d.At, d.Sentence, d.Bursts)
		}
	}
}

func (f figures) String() string {
	share := func(n int) float64 { return float64(n) / float64(f.runs) }
	return fmt.Sprintf("found %.3f, truth within %.3f (lower bound too high %.3f, by more than the width %.3f; upper too low %.3f), width <= 5 %% %.3f (mean %.1f %%), drift %.3f, %.1f trials, %.0f s",
		share(f.found), share(f.covered), share(f.tooHigh), share(f.far), share(f.tooLow), share(f.narrow), 100*f.width/float64(max(f.found, 1)), share(f.drift),
		share(f.trials), f.took.Seconds()/float64(f.runs))
}

func TestHarness(t *testing.T) {
	if !*harness {
		t.Skip("long: see the command above")
	}
	for _, s := range systems {
		if !regexp.MustCompile(*only).MatchString(s.name) {
			continue
		}
		ours := measure(s.system, *seeds, *budget)
		fmt.Printf("%s (truth %.1f): %s\n", s.name, s.truth(), ours)
		if *peer {
			bisect(s.system, min(*seeds, 300), float64(ours.covered)/float64(ours.runs))
		}
	}
}

// bisect does so plainly, in ever longer trials, until the truth is as often within as in our searches.
func bisect(s system, seeds int, wanted float64) {
	for _, seconds := range []int{2, 5, 10, 20, 30, 60, 120, 240, 480} {
		covered, took := 0, time.Duration(0)
		for seed := range uint64(seeds) {
			lower, upper, each := plain(seed, s, time.Duration(seconds)*time.Second)
			if took += each; lower <= s.truth() && s.truth() <= upper {
				covered++
			}
		}
		share := float64(covered) / float64(seeds)
		fmt.Printf("   plain bisection, %3d s a trial: truth within %.3f, %.0f s\n", seconds, share, took.Seconds()/float64(seeds))
		if share >= wanted {
			return
		}
	}
}

func TestSearchFindsKnownCapacity(t *testing.T) {
	for _, s := range systems {
		t.Run(s.name, func(t *testing.T) {
			runs, budget := 40, time.Hour
			if !s.law {
				runs, budget = 2, 10*time.Minute // what moves slowly is then not as narrow as asked for
			}
			f := measure(s.system, runs, budget)
			if t.Log(f); 100*f.covered < 97*runs {
				t.Error("want the truth in 97 % of the intervals")
			}
			if s.law && 100*f.narrow < 97*runs {
				t.Error("want 97 % of the intervals as narrow as asked for")
			}
			if f.far > 0 {
				t.Error("a lower bound lies above the truth by more than the goal width")
			}
		})
	}
}
