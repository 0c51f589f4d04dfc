package simulated_test

import (
	"testing"
	"time"

	"coalmine/analyze/simulated"
	"coalmine/attack"
)

func answered(a attack.Answers) (n uint64) {
	for _, t := range a.Arms {
		n += t.Hits
	}
	for _, t := range a.Unattributed {
		n += t.Hits
	}
	return n
}

// Windows are as attack.Run's: on the grid, due is hits and pending, and what is pending comes late, once.
func TestWindows(t *testing.T) {
	v := simulated.Version{Name: "1", Median: 5 * time.Millisecond, Sigma: 0.5}
	c := simulated.Canary{Seed: 1, Phase: "during", Rate: 1000, Start: 2 * time.Second, Share: 0.5, Arrives: time.Second, Spread: time.Second,
		Timeout: 3 * time.Second, Patience: time.Second, Baseline: v, Canary: v}
	c.Canary.Name, c.Canary.Hang, c.Canary.Anonymous = "2", 0.1, 0.1
	var pending, late, due, canary, before uint64
	index := int64(20)
	for w := range c.Windows() {
		if w.Index != index || w.Start != time.Duration(index)*attack.WindowLength || w.Due != 100 || w.Hits+w.Pending != w.Due || answered(w.Answers) != w.Hits {
			t.Fatalf("window %d at %s: due %d, hits %d, pending %d, answered %d", w.Index, w.Start, w.Due, w.Hits, w.Pending, answered(w.Answers))
		}
		index++
		due += w.Due
		pending += w.Pending
		for _, l := range w.Late {
			if l.Index >= w.Index || l.Index < 20 {
				t.Errorf("window %d holds a late answer of %d", w.Index, l.Index)
			}
			late += answered(l.Answers)
		}
		if a := w.Arms["2"]; a != nil {
			canary += a.Hits
			if w.Start < 3*time.Second {
				before += a.Hits
			}
		}
		if w.Start == 22*time.Second {
			break
		}
	}
	if before > 0 || canary < 6500 || canary > 8500 {
		t.Errorf("%d canary answers, %d before it arrived; want about 7,500 and none", canary, before)
	}
	if still := pending - late; pending < 750 || pending > 1100 || still > 200 {
		t.Errorf("of %d due %d were pending and %d of these came late; want about 930, all but those of the last 2 s", due, pending, late)
	}
}

func TestSeeds(t *testing.T) {
	v := simulated.Version{Name: "1", Median: 5 * time.Millisecond, Sigma: 0.5}
	w := v
	w.Name = "2"
	first := func(seed uint64) uint64 {
		c := simulated.Canary{Seed: seed, Rate: 10_000, Share: 0.5, Timeout: time.Second, Patience: time.Second, Baseline: v, Canary: w}
		for w := range c.Windows() {
			return w.Arms["2"].Hits
		}
		return 0
	}
	if again := first(1); again != first(1) || again == first(2) && first(2) == first(3) {
		t.Errorf("seeds 1, 1, 2, 3 give %d, %d, %d, %d canary answers", again, first(1), first(2), first(3))
	}
}

// Everything that can be bent is bent, and comes out as it was asked for.
func TestBent(t *testing.T) {
	v := simulated.Version{Name: "1", Median: 5 * time.Millisecond, Sigma: 0.5}
	c := simulated.Canary{Seed: 1, Rate: 1000, Share: 0.5, Timeout: 10 * time.Second, Patience: time.Second, Baseline: v, Canary: v, Turns: true}
	c.Canary = simulated.Version{Name: "2", Median: 5 * time.Millisecond, Sigma: 0.5, Errors: 0.0055, Nameless: 0.02, Hang: 0.03, Gateway: 3 * time.Second,
		Burst: simulated.Burst{Share: 0.1, Mean: 20, Errors: 0.2}}
	c.Load = func(at time.Duration) int { return 50 + int(at/time.Second) }
	c.Reached = simulated.Hosts(0, 0, time.Second, 2*time.Second)
	c.Drift = func(at time.Duration, baseline, canary *simulated.Version) {
		if at >= 50*time.Second {
			baseline.Median *= 2
		}
	}
	var risk float64
	risked := 0
	c.Told = func(_ int64, _, canary simulated.Risk) { risk, risked = risk+canary.Errors, risked+canary.Hits }
	var all, slow attack.Answers
	var turns attack.Turns
	canary := [3]float64{}
	n := [3]float64{}
	for w := range c.Windows() {
		all.Merge(w.Answers)
		if want := 50 + uint64(w.Start/time.Second); w.Due != want || w.Hits+w.Pending != want {
			t.Fatalf("window %d: %d due, %d hits and %d pending; want %d", w.Index, w.Due, w.Hits, w.Pending, want)
		}
		if stage := min(int(w.Start/time.Second), 2); w.Arms["2"] != nil {
			canary[stage] += float64(w.Arms["2"].Hits)
			n[stage] += float64(w.Hits)
		}
		if w.Start >= 2*time.Second {
			turns.Same, turns.Switched = turns.Same+w.Turns.Same, turns.Switched+w.Turns.Switched
		}
		if w.Start >= 50*time.Second {
			slow.Merge(w.Answers)
		}
		for _, l := range w.Late {
			if back := w.Index - l.Index; back != 20 { // a second less, as its own window waited so long
				t.Fatalf("a hang of 3 s returns %d windows later", back)
			}
			all.Merge(l.Answers)
		}
		if w.End() == 100*time.Second {
			break
		}
	}
	near := func(name string, got, want, within float64) {
		t.Helper()
		if got < want-within || got > want+within {
			t.Errorf("%s: %.4f, want %.4f +- %.4f", name, got, want, within)
		}
	}
	near("share at first", canary[0]/n[0], 0.25, 0.06)
	near("share after a second", canary[1]/n[1], 0.375, 0.06)
	near("share in the end", canary[2]/n[2], 0.49, 0.01)
	near("turns", float64(turns.Switched)/float64(turns.Same+turns.Switched), 0.5, 0.01)
	arm := all.Arms["2"]
	named := float64(arm.Hits)
	near("errors", float64(arm.Errors[attack.ServerError])/named, (0.9*0.0055+0.1*0.2)/0.95, 0.006)
	near("risk", risk/float64(risked), 0.9*0.0055+0.1*0.2+0.03, 0.006)
	near("504", float64(all.Unattributed[attack.No504].Errors[attack.GatewayTime])/named, 0.03/0.95, 0.003)
	near("nameless", float64(all.Unattributed[attack.Unrecognised].Response.Total())/named, 0.02/0.95, 0.003)
	near("median", float64(slow.Arms["2"].Response.Quantile(0.5))/5e6, 1, 0.03)
	near("median drifted", float64(slow.Arms["1"].Response.Quantile(0.5))/5e6, 2, 0.06)
	if len(all.Arms) != 2 || len(all.Unattributed) != 2 {
		t.Errorf("arms %v, unattributed %v", all.Arms, all.Unattributed)
	}
}

func TestRamp(t *testing.T) {
	for _, tc := range []struct {
		from, length, at time.Duration
		want             float64
	}{{0, 0, 0, 1}, {5, 0, 4, 0}, {5, 0, 5, 1}, {5, 10, 4, 0}, {5, 10, 10, 0.5}, {5, 10, 15, 1}, {5, 10, 50, 1}} {
		if got := simulated.Ramp(tc.from, tc.length)(tc.at); got != tc.want {
			t.Errorf("Ramp(%d, %d)(%d) = %v, want %v", tc.from, tc.length, tc.at, got, tc.want)
		}
	}
}
