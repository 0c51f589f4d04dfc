package simulated_test

import (
	"testing"
	"time"

	"coalmine/analyze/simulated"
)

func BenchmarkWindows(b *testing.B) {
	c := simulated.Canary{Seed: 1, Rate: 500, Share: 0.5, Timeout: time.Second, Patience: time.Second,
		Baseline: simulated.Version{Name: "1", Median: 50 * time.Millisecond, Sigma: 0.5, Errors: 0.001, Anonymous: 0.0002}}
	c.Canary = c.Baseline
	c.Canary.Name = "2"
	hits := uint64(0)
	for b.Loop() {
		for w := range c.Windows() {
			if hits += w.Hits; w.Index == 100 {
				break
			}
		}
	}
	b.ReportMetric(float64(hits)/b.Elapsed().Seconds(), "hits/s")
}
