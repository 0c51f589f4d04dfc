package analyze

import (
	"strings"
	"testing"
	"time"

	"coalmine/analyze/sequential"
	"coalmine/attack"
)

// What is proven of a quantile that passes is never weaker than the bound it passed, whatever lies between.
func TestProvenLatency(t *testing.T) {
	bound, err := sequential.NewBound(0.01, sequential.Levels{Alpha: 0.01, Beta: 0.05, Budget: 60_000})
	if err != nil {
		t.Fatal(err)
	}
	limit := 100 * time.Millisecond
	for name, e := range map[string]evidence{
		"answers without a version up to the bound": {canary: arm{hits: 5000, timed: 5000, response: attack.Histogram{{Bin: 2000, Count: 5000}}},
			successes: 200, response: attack.Histogram{{Bin: 3000, Count: 200}}},
		"nothing between the fast and the very slow": {canary: arm{hits: 5000, timed: 5000, response: attack.Histogram{{Bin: 2000, Count: 4998}, {Bin: 7000, Count: 2}}},
			successes: 200, response: attack.Histogram{{Bin: 3000, Count: 200}}},
	} {
		check := armLatency{test: bound, quantile: 0.99, limit: limit, version: "2", canary: true}
		got := check.explain(&e, Pass, reading{})
		if got.Proven.High == nil || *got.Proven.High > float64(limit) || !strings.Contains(got.Sentence, "100ms or more is ruled out") {
			t.Errorf("%s: %s", name, got.Sentence)
		}
	}
}

// A bound that nobody gave is half as much again as before the canary, and never closer to it than what generator and
// machine may add.
func TestSuggestedLatency(t *testing.T) {
	for _, tc := range []struct {
		before, limit time.Duration
		words         string
	}{
		{2900 * time.Microsecond, 12900 * time.Microsecond, "10ms more than the 2.9ms before the canary"},
		{19 * time.Millisecond, 29 * time.Millisecond, "10ms more than the 19ms before the canary"},
		{21 * time.Millisecond, 31500 * time.Microsecond, "1.5 x the 21ms before the canary"},
		{800 * time.Millisecond, 1200 * time.Millisecond, "1.5 x the 800ms before the canary"},
	} {
		before := attack.Histogram{{Bin: attack.BinOf(tc.before / 2), Count: 90}, {Bin: attack.BinOf(tc.before), Count: 10}}
		got := suggest(before)
		limit := time.Duration(got.bound()[0.99])
		if off := float64(limit)/float64(tc.limit) - 1; off < -0.003 || off > 0.003 || got.String() != tc.words || len(got.bound()) != 1 {
			t.Errorf("%s before: %s, %s; want %s, %s", tc.before, limit, got, tc.limit, tc.words)
		}
	}
}
