package analyze_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"coalmine/analyze"
	"coalmine/analyze/simulated"
)

// rollout is a release at 200 requests a second with 6,000 requests to settle, of which only the split can be wrong: versions alike, no
// errors, no bound on latency.
func rollout(percent, margin, settled float64, reached func(time.Duration) float64) release {
	r := amended(nil)
	r.percent = percent
	r.policy.Split.Margin = margin
	r.policy.Latency.Max, r.policy.Latency.Margin = nil, map[analyze.Quantile]analyze.Slack{}
	r.policy.Errors = analyze.ErrorPolicy{Max: 0.3, Margin: 25} // soon passed, even by a canary of 1 %
	r.policy.Settle, r.policy.MinDuration, r.policy.MaxDuration = seconds(30), 0, seconds(120)
	r.stage.Rate, r.stage.Share, r.stage.Reached = 200, settled, reached
	r.stage.Baseline.Errors, r.stage.Baseline.Anonymous, r.stage.Baseline.Median = 0, 0, 5*time.Millisecond
	r.stage.Canary = r.stage.Baseline
	r.stage.Canary.Name = "2"
	return r
}

// lateHosts reaches a part of the hosts at once and the rest after so many of 200 requests a second.
func lateHosts(part float64, requests int) func(time.Duration) float64 {
	rest := requestsAt200(requests)
	return func(at time.Duration) float64 {
		if at < rest {
			return part
		}
		return 1
	}
}

func requestsAt200(n int) time.Duration { return time.Duration(n) * time.Second / 200 }

// The ten roll-outs of section 2.8, host by host.
func TestHarnessRollouts(t *testing.T) {
	const alpha, beta = 0.01, 0.05
	ramp := func(requests int) func(time.Duration) float64 { return simulated.Ramp(0, requestsAt200(requests)) }
	tabulate(t, []row{ // releases with -harness, and without
		{".50+-.03, 1/8 of the hosts 3,000 late", rollout(50, 3, 0.5, lateHosts(7./8, 3000)), 500, 10, promise{}, atMost(beta), "FAIL .575 by the plain rule", nil},
		{".10+-.02, half of them 2,000 late", rollout(10, 2, 0.1, lateHosts(0.5, 2000)), 500, 0, promise{}, atMost(beta), "FAIL .69", nil},
		{".05+-.01, half of them 2,000 late", rollout(5, 1, 0.05, lateHosts(0.5, 2000)), 500, 0, promise{}, atMost(beta), "FAIL .67", nil},
		{".05+-.01, ramp 5,000", rollout(5, 1, 0.05, ramp(5000)), 500, 0, promise{}, atMost(beta), "FAIL .45", nil},
		{".02+-.01, ramp 3,000", rollout(2, 1, 0.02, ramp(3000)), 500, 0, promise{}, atMost(beta), "FAIL .76", nil},
		{".01+-.005, ramp 3,000", rollout(1, 0.5, 0.01, ramp(3000)), 500, 5, promise{}, atMost(beta), "FAIL .24", nil},
		{"settled .57 of .50+-.03, 23 % 2,000 late", rollout(50, 3, 0.57, lateHosts(0.77, 2000)), 500, 10, atMost(alpha), promise{}, "PASS .67", nil},
		{"settled .14 of .10+-.02, half 1,500 late", rollout(10, 2, 0.14, lateHosts(0.5, 1500)), 500, 0, atMost(alpha), promise{}, "PASS .70", nil},
		{"settled .53 of .50+-.03, 1/8 6 s late", rollout(50, 3, 0.53, lateHosts(7./8, 1200)), 1000, 10, atMost(alpha), promise{}, "PASS .22 to .55", nil},
		{"settled .55 of .50+-.03, 1/8 12 s late", rollout(50, 3, 0.55, lateHosts(7./8, 2400)), 500, 0, atMost(alpha), promise{}, "PASS .22 to .55", nil},
		{"settled .53, all at once", rollout(50, 3, 0.53, nil), 1000, 0, atMost(alpha), promise{}, "", nil},
	})
}

// What a verdict may cost at most; "plus the rest of the window": the answers counted are those before the window that decided.
func TestHarnessAims(t *testing.T) {
	const alpha = 0.01
	slowest := 2997 * math.Log(alpha) / math.Log(0.05) // log(1/alpha)/I of the relative p95, statistics.md section 7
	within := func(what string, limit int, of func(fate) int) func([]fate) (string, string) {
		return func(all []fate) (note, broken string) {
			sorted := slices.SortedFunc(slices.Values(all), func(a, b fate) int { return of(a) - of(b) })
			worst, ninth := sorted[len(all)-1], sorted[(9*len(all)+9)/10-1]
			sum := 0
			for _, f := range all {
				sum += of(f)
			}
			if of(ninth) >= limit {
				broken = fmt.Sprintf("seed %d: want fewer than %d in nine of ten", ninth.seed, limit)
			}
			return fmt.Sprintf("%s before the window that decided: mean %.1f, p90 %d, at most %d", what, float64(sum)/float64(len(all)), of(ninth), of(worst)), broken
		}
	}
	judged := func(f fate) int { return int(f.lead) }
	dead := func(delay time.Duration, percent float64) release {
		return amended(func(r *release) {
			r.percent, r.stage.Share, r.policy = percent, percent/100, r.policy.Complete(percent/100)
			r.policy.Split.Margin = 3
			r.policy.Settle, r.policy.MaxDuration = seconds(120), seconds(180)
			r.stage.Rate = 100 // windows of 10: what is counted is not what the window was long
			r.stage.Reached = simulated.Ramp(delay, 0)
			r.stage.Canary.Anonymous, r.stage.Canary.Errors = 1, 0
		})
	}
	busy := dead(0, 50) // a window is 50 hits, and its 25 of the baseline may hold an error
	busy.stage.Rate = 500
	answers := func(f fate) int { return f.canary }
	misrouted := func(share float64, turns bool) release {
		return amended(func(r *release) {
			r.stage.Rate, r.stage.Share, r.stage.Turns, r.policy.Settle = 100, share, turns, seconds(3)
		})
	}
	tabulate(t, []row{ // releases with -harness, and without
		{"all good, nothing to settle", firstDesign(alpha, 0.05, nil), 1000, 20, atLeast(0.99), promise{}, "judged at most 2 x 4,607", func(all []fate) (note, broken string) {
			sum, square := 0.0, 0.0
			for _, f := range all {
				sum, square = sum+float64(f.judged), square+float64(f.judged)*float64(f.judged)
			}
			n := float64(len(all))
			mean := sum / n
			slack := 3 * math.Sqrt(max(square/n-mean*mean, 0)/n)
			if mean > 2*slowest+slack {
				broken = fmt.Sprintf("want at most %.0f + %.0f", 2*slowest, slack)
			}
			return fmt.Sprintf("%.2f x the bound of the slowest check, %.0f", mean/slowest, slowest), broken
		}},
		{"dead at once", dead(0, 50), 1000, 100, notOne, everyOne, "10 dead answers", within("dead answers", 10, answers)},
		{"dead at once, 500/s", busy, 1000, 0, notOne, everyOne, "10", within("dead answers", 10, answers)},
		{"dead after 5 s", dead(5*time.Second, 50), 1000, 30, notOne, everyOne, "10", within("dead answers", 10, answers)},
		{"dead after 25 s", dead(25*time.Second, 50), 1000, 0, notOne, everyOne, "10", within("dead answers", 10, answers)},
		{"dead after 60 s", dead(60*time.Second, 50), 1000, 5, notOne, everyOne, "10", within("dead answers", 10, answers)},
		{"dead at once, share 10 %", dead(0, 10), 500, 0, notOne, everyOne, "", within("dead answers", 20, answers)},
		{"dead after 60 s, share 10 %", dead(60*time.Second, 10), 500, 0, notOne, everyOne, "", within("dead answers", 20, answers)},
		{"share 10 % of 50 %", misrouted(0.1, true), 1000, 20, notOne, everyOne, "50 requests", within("judged requests", 50, judged)},
		{"share 5 % of 50 %", misrouted(0.05, true), 1000, 0, notOne, everyOne, "50", within("judged requests", 50, judged)},
		{"share 0 % of 50 %", misrouted(0, true), 1000, 20, notOne, everyOne, "50", within("judged requests", 50, judged)},
		{"share 10 %, turns not counted", misrouted(0.1, false), 1000, 20, notOne, everyOne, "50", within("judged requests", 50, judged)},
	})
}

// Section 3's table: what depends on what came before. A verdict is wrong if it says of the window that was judged what is not so.
func TestHarnessDependence(t *testing.T) {
	const level = 0.05
	wrong := func(limit float64) func([]fate) (string, string) { // the canary's own bound on errors, by the window's risk
		return func(all []fate) (note, broken string) {
			n, pass, fail := len(all), 0, 0
			for _, f := range all {
				switch {
				case f.verdict == analyze.Promote && f.risk >= limit:
					pass++
				case f.verdict == analyze.Reject && f.risk <= limit && f.risked <= limit:
					fail++
				}
			}
			return fmt.Sprintf("window reading: wrong PASS %.4f, wrong FAIL %.4f", float64(pass)/float64(n), float64(fail)/float64(n)),
				atMost(level).broken(max(pass, fail), n)
		}
	}
	bursts := func(share, inside, outside, mean float64) release {
		return firstDesign(level, level, func(r *release) {
			absoluteAlone(outside)(r)
			r.policy.Split.Margin = 20 // soon passed
			r.policy.Latency.Max, r.policy.Latency.Margin = nil, map[analyze.Quantile]analyze.Slack{}
			r.stage.Baseline.Anonymous, r.stage.Canary.Anonymous = 0, 0
			r.stage.Baseline.Errors, r.stage.Canary.Errors = 0, outside
			r.stage.Canary.Burst = simulated.Burst{Share: share, Mean: mean, Errors: inside}
		})
	}
	marginal := func(inside, outside float64) float64 { return (0.01 - outside) / (inside - outside) }
	drift := func(canary float64, drift func(r *rand.Rand) func(at time.Duration, b, c *simulated.Version)) release {
		return firstDesign(level, level, func(r *release) {
			slowerBy(canary)(r)
			r.policy.Latency.Max = map[analyze.Quantile]analyze.Duration{0.99: seconds(1)}
			r.vary = func(seed uint64, r *release) { r.stage.Drift = drift(rand.New(rand.NewPCG(seed, 13))) }
		})
	}
	both := func(by float64, b, c *simulated.Version) {
		b.Median, c.Median = time.Duration(by*float64(b.Median)), time.Duration(by*float64(c.Median))
	}
	rising := func(*rand.Rand) func(time.Duration, *simulated.Version, *simulated.Version) {
		return func(at time.Duration, b, c *simulated.Version) { both(1+0.3*at.Seconds()/15, b, c) }
	}
	wandering := func(random *rand.Rand) func(time.Duration, *simulated.Version, *simulated.Version) {
		const memory = 0.9 // from window to window: 1 s
		x := random.NormFloat64()
		return func(_ time.Duration, b, c *simulated.Version) {
			both(math.Exp(0.15*x), b, c)
			x = memory*x + math.Sqrt(1-memory*memory)*random.NormFloat64()
		}
	}
	moving := func(random *rand.Rand) func(time.Duration, *simulated.Version, *simulated.Version) {
		phase := random.Float64()
		return func(at time.Duration, b, c *simulated.Version) {
			rate := 0.002 * (1 + math.Sin(2*math.Pi*(phase+at.Seconds()/5)))
			b.Errors, c.Errors = rate, rate+0.005
		}
	}
	tabulate(t, []row{ // releases with -harness, and without
		{"1 %, independent", bursts(0, 0, 0.01, 0), 2000, 40, promise{}, promise{}, "PASS .025, FAIL .021", wrong(0.01)},
		{"bursts 5 %/0.55 %, mean 20", bursts(marginal(0.05, 0.0055), 0.05, 0.0055, 20), 2000, 50, promise{}, promise{}, "PASS .081, FAIL .091; wrong .0020, .0015", wrong(0.01)},
		{"bursts 20 %/0.5 %, mean 50", bursts(marginal(0.2, 0.005), 0.2, 0.005, 50), 2000, 0, promise{}, promise{}, "PASS .544, FAIL .369; wrong .0005, 0", wrong(0.01)},
		{"outages 100 %/0.5 %, mean 50", bursts(marginal(1, 0.005), 1, 0.005, 50), 2000, 50, promise{}, promise{}, "PASS .825, FAIL .173; wrong 0, 0", wrong(0.01)},
		{"p95 +10 %, both drift +30 %", drift(0.1, rising), 1000, 0, atMost(level), atMost(level), "PASS .0025, FAIL .0025", nil},
		{"p95 +10 %, shared AR(1)", drift(0.1, wandering), 1000, 20, atMost(level), atMost(level), "PASS .010, FAIL .003", nil},
		{"good, both drift +30 %", drift(0, rising), 500, 0, atLeast(0.9), atMost(level), "", nil},
		{"good, shared AR(1)", drift(0, wandering), 500, 0, atLeast(0.9), atMost(level), "", nil},
		{"errors +.5 pp, both moving", drift(0, moving), 1000, 0, atMost(level), atMost(level), "PASS .024, FAIL .015", nil},
	})
}
