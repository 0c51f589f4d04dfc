package analyze_test

import (
	"bytes"
	"testing"

	"coalmine/analyze"
)

// BenchmarkReplay judges the run file of a minute's canary again: hits per second of its reading, judging included.
func BenchmarkReplay(b *testing.B) {
	for _, rate := range []int{1000, 10_000} {
		b.Run(map[int]string{1000: "1000per_s", 10_000: "10000per_s"}[rate], func(b *testing.B) {
			p := policy(func(p *analyze.Policy) { p.MinDuration = p.MaxDuration })
			var file bytes.Buffer
			out := analyze.NewWriter(&file)
			h := analyze.Header{Format: analyze.Format, Policy: &p, Budget: p.Budget(float64(rate)), Target: analyze.Target{Baseline: "1", Canary: "2", Percent: 50}}
			out.Write(analyze.Record{Header: &h})
			out.Write(analyze.Record{Event: &analyze.Event{Name: analyze.PhaseBegin, Phase: analyze.During}})
			c := healthy(1)
			c.Rate = rate
			hits := uint64(0)
			for w := range c.Windows() {
				if hits += w.Hits; w.Index >= 600 {
					break
				}
				out.Write(analyze.Record{Window: &w})
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := analyze.Replay(bytes.NewReader(file.Bytes())); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(hits)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mhits/s")
		})
	}
}
