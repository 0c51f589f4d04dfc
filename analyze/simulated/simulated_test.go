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
	if first(1) != first(1) || first(1) == first(2) && first(2) == first(3) {
		t.Errorf("seeds 1, 1, 2, 3 give %d, %d, %d, %d canary answers", first(1), first(1), first(2), first(3))
	}
}
