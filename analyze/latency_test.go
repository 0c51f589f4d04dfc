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
		"answers without a version up to the bound": {canary: arm{hits: 5000, response: attack.Histogram{{Bin: 2000, Count: 5000}}},
			successes: 200, response: attack.Histogram{{Bin: 3000, Count: 200}}},
		"nothing between the fast and the very slow": {canary: arm{hits: 5000, response: attack.Histogram{{Bin: 2000, Count: 4998}, {Bin: 7000, Count: 2}}},
			successes: 200, response: attack.Histogram{{Bin: 3000, Count: 200}}},
	} {
		check := armLatency{test: bound, quantile: 0.99, limit: limit, version: "2", canary: true}
		got := check.explain(&e, Pass, reading{})
		if got.Proven.High == nil || *got.Proven.High > float64(limit) || !strings.Contains(got.Sentence, "100ms or more is ruled out") {
			t.Errorf("%s: %s", name, got.Sentence)
		}
	}
}
