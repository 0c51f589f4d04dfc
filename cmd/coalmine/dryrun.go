package main

import (
	"errors"
	"fmt"
	"slices"

	"coalmine/analyze"
	"coalmine/attack"
	"coalmine/report"
	"coalmine/scenarios"
)

// preview shows what is known without the load. What blocks is shown among the rest, and is still an error.
func (g *gate) preview(w world, ready *scenarios.Prepared, blocked error) error {
	var preflight scenarios.Preflight
	if ready == nil || blocked != nil && !errors.As(blocked, &preflight) {
		return blocked
	}
	show, err := report.NamedPreview(g.output.first())
	if err != nil {
		return usagef("--format: %w", err)
	}
	v := report.Preview{Target: ready.Header.Target, Sent: ready.Asked}
	if canary := ready.Target.State.Canary; canary != nil {
		v.Live = canary.String()
	}
	v.Uncovered = slices.DeleteFunc(slices.Clone(ready.Target.Methods), func(method string) bool {
		return method == g.Ref.Method+" "+ready.Target.Method.Resource
	})
	for _, f := range ready.Findings {
		v.Findings = append(v.Findings, report.Finding{Check: f.Check, Level: string(f.Level), Text: f.Text, Remedy: f.Remedy})
	}
	if blocked == nil {
		forecast, err := g.forecast(ready)
		if err != nil {
			return usage(err)
		}
		v.Forecast = &forecast
	}
	if err := show(w.stdout, v); err != nil {
		return err
	}
	fmt.Fprintln(w.stderr, report.PreviewLine(v))
	return blocked
}

// forecast is what plan has to say, of a service that answers as fast as the probe's answers came.
func (g *gate) forecast(ready *scenarios.Prepared) (analyze.Forecast, error) {
	q := analyze.Question{Policy: g.Policy, Percent: ready.Header.Target.Percent, Rate: attack.PerSecond(g.Plan.Rate),
		MaxRate: g.target.maxRate, Service: analyze.DefaultService, Prices: analyze.DefaultPrices}
	if q.MaxRate < q.Rate { // on loopback there is no limit
		q.MaxRate = q.Rate
	}
	if latency := ready.Latency(); latency > 0 {
		q.Service = q.Service.Assume(latency, q.Service.Sigma)
	}
	if c := ready.Target.Baseline.Configuration; c != nil {
		q.Prices.MemoryMB = float64(c.Memory)
	}
	return analyze.Foresee(q)
}
