package sequential

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Healthy routing is not called sticky whatever its share, none and all included; sticky routing is.
func TestSticky(t *testing.T) {
	s, err := NewSticky(Levels{Alpha: 0.01, Beta: 0.05, Budget: 30_000})
	if err != nil {
		t.Fatal(err)
	}
	limit := math.Log(TurnsEvidence)
	// route sends answers over 20 connections; stay is the probability that a connection repeats its last arm.
	route := func(seed uint64, share, stay float64, answers int) (called int) {
		random := rand.New(rand.NewPCG(seed, 1))
		last := make([]int, 20)
		var switched, same, canary uint64
		for i := range answers {
			arm := 1
			if random.Float64() < share {
				arm = 2
			}
			connection := random.IntN(len(last))
			if before := last[connection]; before > 0 {
				if random.Float64() < stay {
					arm = before
				}
				if arm == before {
					same++
				} else {
					switched++
				}
			}
			last[connection] = arm
			if arm == 2 {
				canary++
			}
			if i%50 == 49 && s.Fail(switched, same, canary, uint64(i+1)) >= limit {
				return i + 1
			}
		}
		return 0
	}
	for _, share := range []float64{0, 0.002, 0.01, 0.04, 0.1, 0.2, 0.5, 0.8, 0.99, 1} {
		alarms := 0
		for seed := range uint64(40) {
			if route(seed, share, 0, 10_000) > 0 {
				alarms++
			}
		}
		if alarms > 1 { // 1/200 a run: 2 of 40 come up once in 57 such tests
			t.Errorf("share %v: %d of 40 healthy runs called sticky", share, alarms)
		}
	}
	for _, tc := range []struct {
		share, stay float64
		within      int
	}{{0.5, 1, 300}, {0.5, 0.5, 1500}, {0.4, 1, 1000}} {
		for seed := range uint64(10) {
			if called := route(seed, tc.share, tc.stay, 2*tc.within); called == 0 || called > tc.within {
				t.Errorf("share %v, sticky by %v, seed %d: called after %d answers, want at most %d", tc.share, tc.stay, seed, called, tc.within)
			}
		}
	}
}
