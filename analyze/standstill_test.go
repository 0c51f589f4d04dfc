package analyze_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"coalmine/analyze"
	"coalmine/analyze/simulated"
	"coalmine/attack"
)

// stoodStill has this machine stand still once in each two and a half seconds, for 100 to 400 ms: what was due meanwhile goes
// out at the end, half of what was under way before is read then, and what comes after it is held up.
func stoodStill(seed uint64) func(*attack.Window) {
	random := rand.New(rand.NewPCG(seed, 7))
	const block = 25
	at, from, to := 0, 0, 0
	return func(w *attack.Window) {
		if at%block == 0 {
			from = at + 2 + random.IntN(15)
			to = from + 1 + random.IntN(4)
		}
		switch left := time.Duration(to-at) * attack.WindowLength; {
		case at == from-1:
			slower(w, left, 2)
		case from <= at && at < to:
			sentLate(w, left, w.Due)
			slower(w, left, 1)
		case at == to:
			slower(w, 30*time.Millisecond, 2)
		}
		at++
	}
}

func sentLate(w *attack.Window, by time.Duration, n uint64) {
	w.Wake = nil
	w.Wake.AddBin(attack.BinOf(by), n)
	w.Wake.AddBin(1, w.Sent-min(n, w.Sent))
}

// slower adds to one in so many of all response times.
func slower(w *attack.Window, by time.Duration, oneIn uint64, versions ...string) {
	for version, t := range w.Arms {
		if len(versions) > 0 && version != versions[0] {
			continue
		}
		var h attack.Histogram
		for _, b := range t.Response {
			n := b.Count / oneIn
			h.AddBin(attack.BinOf(time.Duration(attack.BinStart(b.Bin))+by), n)
			h.AddBin(b.Bin, b.Count-n)
		}
		t.Response = h
	}
}

// withStandstills judges a good canary while something happens to each window of the phases before and during.
func withStandstills(t *testing.T, seed uint64, by func(*analyze.Policy), each func(phase string) func(*attack.Window), as ...func(*simulated.Canary)) analyze.Analysis {
	t.Helper()
	p := policy(by)
	p.Latency.Max = map[analyze.Quantile]analyze.Duration{0.99: analyze.Duration(100 * time.Millisecond)}
	is := healthy(seed)
	for _, change := range as {
		change(&is)
	}
	s := begin(t, &p)
	s.traffic(alone("1", seed), analyze.Before, 20*time.Second, each(analyze.Before), "stage", "prod", "expect", "1")
	if s.judge.Outcome() == analyze.Pass {
		s.traffic(is, analyze.During, time.Duration(p.MaxDuration), each(analyze.During))
	}
	return s.finish("verdict") // which replays it
}

func check(t *testing.T, a analyze.Analysis, name string) analyze.Check {
	t.Helper()
	for _, c := range a.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no check %q", name)
	return analyze.Check{}
}

// A machine that stands still now and then costs some response times, and not the run.
func TestStandstills(t *testing.T) {
	for seed := range uint64(5) {
		a := withStandstills(t, seed, nil, func(phase string) func(*attack.Window) { return stoodStill(seed + uint64(len(phase))) })
		measurement, notes := check(t, a, "measurement").Sentence, strings.Join(a.Notes, "\n")
		if a.Conclusion.Verdict != analyze.Promote || !strings.Contains(measurement, "Response times of ") || !strings.Contains(notes, "Phase before: response times of ") {
			t.Errorf("seed %d: %s\n%s\n%s", seed, a.Conclusion.Sentence, measurement, notes)
		}
	}
}

// Who answered, and with which errors, is counted whether this machine stood still or not.
func TestStandstillsLeaveCountsAlone(t *testing.T) {
	length := func(p *analyze.Policy) { p.MinDuration, p.MaxDuration = seconds(20), seconds(20) }
	none := func(string) func(*attack.Window) { return nil }
	for seed := range uint64(3) {
		as := func(c *simulated.Canary) { c.Baseline.Errors, c.Canary.Errors = 0.002, 0.003 }
		was := withStandstills(t, seed, length, none, as)
		is := withStandstills(t, seed, length, func(phase string) func(*attack.Window) {
			if phase == analyze.Before {
				return nil
			}
			return stoodStill(seed)
		}, as)
		for _, name := range []string{"split", "errors 1", "errors 2", "errors diff", "stage errors"} {
			if a, b := check(t, was, name), check(t, is, name); a.K != b.K || a.N != b.N || a.K == 0 {
				t.Errorf("seed %d, %s: %d of %d, with standstills %d of %d", seed, name, a.K, a.N, b.K, b.N)
			}
		}
		if a, b := check(t, was, "p99 2").N, check(t, is, "p99 2").N; float64(b) > 0.95*float64(a) || float64(b) < 0.67*float64(a) {
			t.Errorf("seed %d: %d response times, with standstills %d: want some left out, and most not", seed, a, b)
		}
	}
}

// A target that stands still itself is charged with it, though what it then answers at once makes this machine late.
func TestTargetStandsStill(t *testing.T) {
	for seed := range uint64(3) {
		a := withStandstills(t, seed, nil, func(phase string) func(*attack.Window) {
			at := 0
			return func(w *attack.Window) {
				switch i := at % 40; {
				case phase == analyze.Before:
				case i >= 27 && i < 30: // of which the last goes with the machine's own lateness
					slower(w, time.Duration(30-i)*attack.WindowLength, 1, "2")
				case i == 30:
					sentLate(w, 50*time.Millisecond, w.Due/2)
				}
				at++
			}
		})
		if a.Conclusion.Verdict != analyze.Reject || !strings.HasPrefix(a.Conclusion.Culprit, "p9") {
			t.Errorf("seed %d: %s, %q", seed, a.Conclusion.Sentence, a.Conclusion.Culprit)
		}
	}
}

// A machine that hardly ever goes on is no judge of anybody's speed, neither of a canary as good as the baseline nor of one
// that is slow.
func TestStandingStillTooOften(t *testing.T) {
	for name, median := range map[string]time.Duration{"good": 0, "slow": 100 * time.Millisecond} {
		a := withStandstills(t, 1, nil, func(phase string) func(*attack.Window) {
			return func(w *attack.Window) {
				if i := w.Index % 6; phase == analyze.During && i < 2 {
					sentLate(w, 100*time.Millisecond, w.Due)
				}
			}
		}, func(c *simulated.Canary) { c.Canary.Median += median })
		if a.Conclusion.Verdict != analyze.Inconclusive || len(a.Conclusion.Void) == 0 || !strings.Contains(a.Conclusion.Void[0], "stood still again and again") {
			t.Errorf("%s: %s", name, a.Conclusion.Sentence)
		}
	}
}

// Of windows chosen by the generator alone the promises hold as of all of them: at the bounds, and for a good release.
func TestHarnessStandstills(t *testing.T) {
	still := func(change func(*release)) release {
		return amended(func(r *release) {
			r.policy.Settle, r.policy.MinDuration = seconds(3), seconds(3)
			r.each = stoodStill
			if change != nil {
				change(r)
			}
		})
	}
	tabulate(t, []row{ // releases with -harness, and without
		{"good, this machine stands still", still(nil), 1000, 6, atLeast(0.99), atMost(0.05), "", nil},
		{"boundary: p95 +10 %", still(slowerBy(0.1)), 1000, 12, atMost(0.01), promise{}, "", nil},
		{"boundary: p99 = 250 ms", still(p99AtBound), 1000, 12, atMost(0.01), promise{}, "", nil},
		{"boundary: share .47", still(atShare(0.47)), 1000, 0, atMost(0.01), promise{}, "", nil},
		{"boundary: errors +.5 pp", still(errorRates(0.0012, 0.0062)), 1000, 0, atMost(0.01), promise{}, "", nil},
		{"all bounds exactly met", still(allMet), 1000, 12, notOne, atMost(0.05), "", nil},
		{"canary +50 %", still(slowerBy(0.5)), 500, 6, notOne, everyOne, "", nil},
	})
}
