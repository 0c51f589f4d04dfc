package analyze

import (
	"testing"
	"time"

	"coalmine/attack"
)

func TestArming(t *testing.T) {
	type window = armHits
	steady := func(base, canary uint64) func(int64) window {
		return func(int64) window { return window{base, canary} }
	}
	for _, tc := range []struct {
		name                string
		share, margin       float64
		warm                int
		settle              time.Duration
		of                  func(index int64) window
		first, armed, start int64
	}{
		// 400 answers at 100 a window: four windows to look at, and half as long again to let pass.
		{"at once", .5, .03, 20, 10 * time.Second, steady(50, 50), 0, 3, 6},
		{"late", .5, .03, 20, 10 * time.Second, func(i int64) window {
			if i < 30 {
				return window{100, 0}
			}
			return window{50, 50}
		}, 30, 33, 36},
		// One host of ten more every five windows: within .075 of the share, 3 sigma of 400 answers, after nine of them.
		{"slow ramp", .5, .03, 20, 30 * time.Second, func(i int64) window {
			step := min(uint64(i/5), 10)
			return window{100 - 5*step, 5 * step}
		}, 5, 46, 68},
		{"never armed", .5, .03, 20, 5 * time.Second, steady(70, 30), 0, -1, 50},
		{"no canary", .5, .03, 20, 5 * time.Second, steady(100, 0), -1, -1, 50},
		{"no answer", .5, .03, 20, 5 * time.Second, steady(0, 0), -1, -1, 50},
		{"armed just before settle", .5, .03, 20, 500 * time.Millisecond, steady(50, 50), 0, 3, 5},
		{"no settle", .5, .03, 20, 0, steady(50, 50), 0, -1, 1},
		// Ten canary hits a window; 300 wanted: the arms are warm long after the split is steady.
		{"warm-up", .1, .02, 300, 20 * time.Second, steady(90, 10), 0, 20, 31},
		{"warm-up binds", .1, .02, 600, 20 * time.Second, steady(90, 10), 0, 20, 60},
		{"warm-up beyond settle", .5, .03, 1_000_000, 5 * time.Second, steady(50, 50), 0, 3, 50},
		{"no warm-up", .5, .03, 0, 10 * time.Second, steady(50, 50), 0, 3, 6},
	} {
		a := newArming(tc.share, tc.margin, tc.warm)
		a.from(0, tc.settle)
		for i := range int64(400) {
			if a.judging(i) {
				break
			}
			a.add(i, tc.of(i))
		}
		if a.first != tc.first || a.armed != tc.armed || a.start != tc.start {
			t.Errorf("%s: first %d, armed %d, start %d; want %d, %d, %d", tc.name, a.first, a.armed, a.start, tc.first, tc.armed, tc.start)
		}
	}
}

// Before the deployment nothing is waited for, and settle runs from its end.
func TestArmingWaitsForTheDeployment(t *testing.T) {
	a := newArming(.5, .03, 20)
	for i := range int64(100) {
		if a.add(i, armHits{50, 50}); a.start >= 0 || a.judging(i) {
			t.Fatalf("window %d is judged", i)
		}
	}
	a.from(100*attack.WindowLength, 5*time.Second)
	for i := int64(100); i < 150 && a.start < 0; i++ {
		a.add(i, armHits{90, 10})
	}
	if a.start != 150 {
		t.Errorf("start %d, want settle, 150", a.start)
	}
}

// The share is looked at over as many answers as tell it from a wrong one, at any share and margin.
func TestArmingNeed(t *testing.T) {
	for share, want := range map[float64]uint64{.5: 400, .1: 2025, .05: 4275, .01: 22275, .9: 400} {
		if a := newArming(share, .4*min(share, 1-share), 20); a.need != want {
			t.Errorf("at %v %d answers are needed, want %d", share, a.need, want)
		}
	}
}

func TestFailWeights(t *testing.T) {
	all := func(of ...group) (r []reading) {
		var members [groups]int
		for _, g := range of {
			members[g]++
		}
		for _, g := range of {
			r = append(r, reading{check: fake{g}, weight: weights(members)[g] / float64(members[g])})
		}
		return r
	}
	sum := func(r []reading) (total float64) {
		for _, r := range r {
			total += r.weight
		}
		return total
	}
	whole := all(stageErrors, split, guard, canaryErrors, relativeErrors, guard, canaryLatency, relativeLatency)
	for i, want := range []float64{.15, .15, 0, .05, .30, 0, .05, .30} {
		if got := whole[i].weight; got < want-1e-12 || got > want+1e-12 {
			t.Errorf("check %d weighs %v, want %v", i, got, want)
		}
	}
	risen := all(stageErrors, stageAgainstBefore, split, canaryErrors, relativeErrors, interference, canaryLatency, relativeLatency)
	for i, want := range []float64{.10, .05, .15, .05, .30, 0, .05, .30} {
		if got := risen[i].weight; got < want-1e-12 || got > want+1e-12 {
			t.Errorf("with a before phase check %d weighs %v, want %v", i, got, want)
		}
	}
	some := all(stageErrors, split, relativeErrors, relativeLatency, relativeLatency, canaryErrors) // no absolute latency
	if total := sum(some); total < 1-1e-12 || total > 1+1e-12 || some[3].weight != some[4].weight || some[3].weight < .15/.95-1e-12 {
		t.Errorf("weights %v add up to %v", some, total)
	}
	// Without latency the latency checks keep their weight and carry nothing.
	for i := range some {
		some[i].fail = 5
	}
	with, _ := failing(some, true)
	without, culprit := failing(some, false)
	if with < 5-1e-9 || without >= with || culprit.check.group() == relativeLatency {
		t.Errorf("log E %v with latency, %v without, culprit %d", with, without, culprit.check.group())
	}
}

type fake struct{ of group }

func (f fake) name() string                                  { return "fake" }
func (f fake) group() group                                  { return f.of }
func (f fake) passes() bool                                  { return true }
func (f fake) look(*evidence) (pass, fail float64)           { return 0, 0 }
func (f fake) explain(*evidence, Outcome, reading) (c Check) { return c }
