package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"coalmine/analyze"
	"coalmine/attack"
	"coalmine/report"
	"coalmine/scenarios"
	"coalmine/scenarios/preflight"
	"coalmine/scenarios/stage"
)

// preview shows what is known without the load. What blocks is shown among the rest, and is still an error.
func (g *gate) preview(w world, ready *scenarios.Prepared, left *report.Finding, blocked error) error {
	var found scenarios.Preflight
	if ready == nil || blocked != nil && !errors.As(blocked, &found) {
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
		if len(g.Plan.Targets) > 0 {
			return slices.Contains(scenarios.Asked(ready.Target, g.Ref, g.Plan.Targets), method)
		}
		return method == g.Ref.Method+" "+ready.Target.Method.Resource
	})
	for _, f := range ready.Findings {
		v.Findings = append(v.Findings, report.Finding{Check: f.Check, Level: string(f.Level), Text: f.Text, Remedy: f.Remedy})
	}
	if left != nil {
		v.Findings = append(v.Findings, *left)
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
	if blocked == nil && left != nil && left.Level == string(preflight.Block) {
		return usagef("%s: %s; %s", left.Check, left.Text, left.Remedy)
	}
	return blocked
}

// unfinished looks whether the stage's journal lets a gate act on it; nil where there is none.
func (g *gate) unfinished(dir string) (*report.Finding, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	f := &report.Finding{Check: "journal", Level: string(preflight.Warning)}
	if g.promote || g.rollback {
		f.Level = string(preflight.Block)
	}
	journal, err := g.Client.OpenJournal(dir, g.Ref)
	switch {
	case err == nil:
		f.Level, f.Text = string(preflight.OK), "no interrupted run has left anything unfinished here"
		return f, journal.Close()
	case errors.Is(err, stage.ErrUnfinished):
		f.Text, f.Remedy, _ = strings.Cut(err.Error(), "; ")
	case errors.Is(err, stage.ErrLocked):
		f.Text, f.Remedy = err.Error(), "wait until it has ended"
	default:
		return nil, err
	}
	return f, nil
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
