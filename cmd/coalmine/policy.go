package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"coalmine/analyze"
)

// policyFlags override the policy file, which overrides the defaults.
type policyFlags struct {
	set                      *pflag.FlagSet
	file                     string
	alpha, beta              float64
	splitMargin, errorMargin float64
	errorMax                 string
	latencyMax, latencyMore  []string
	settle, minimum, maximum time.Duration
	warmUp                   int
}

// alone are the flags of a run that compares nothing.
func (p *policyFlags) alone(f *pflag.FlagSet) {
	p.set = f
	f.StringVar(&p.file, "policy", "", "policy file, YAML")
	f.Float64Var(&p.alpha, "alpha", 0.01, "probability of a wrong VERIFIED")
	f.Float64Var(&p.beta, "beta", 0.05, "probability of a wrong REFUTED")
	f.StringVar(&p.errorMax, "errors-max", "1%", "errors of the version")
	f.StringArrayVar(&p.latencyMax, "latency-max", nil, "`BOUND` like p99=250ms, repeatable (default none)")
	f.DurationVar(&p.settle, "settle", 0, "until then the absent version may answer (default 10s on loopback, 2m elsewhere"+shortened("a quarter"))
	f.DurationVar(&p.maximum, "max-duration", 0, "then INCONCLUSIVE (default 1m on loopback, 15m elsewhere)")
}

func (p *policyFlags) flags(f *pflag.FlagSet) {
	p.set = f
	f.StringVar(&p.file, "policy", "", "policy file, YAML")
	f.Float64Var(&p.alpha, "alpha", 0.01, "probability of a wrong promote")
	f.Float64Var(&p.beta, "beta", 0.05, "probability of a wrong reject")
	f.Float64Var(&p.splitMargin, "split-margin", 0, "points either side of the configured percentage (default min(3, 0.4 x the smaller share))")
	f.StringVar(&p.errorMax, "errors-max", "1%", "errors of each version")
	f.Float64Var(&p.errorMargin, "errors-margin", 0.5, "points by which the canary's errors may exceed the baseline's")
	f.StringArrayVar(&p.latencyMax, "latency-max", nil, "`BOUND` like p99=250ms, repeatable; \"none\" for no check (default none; after a before phase p99: 1.5 x what it was there, or 10ms more, whichever is larger)")
	f.StringArrayVar(&p.latencyMore, "latency-margin", nil, "`BOUND` of canary against baseline like \"p95=10% or 1ms\", repeatable; \"none\" for no check (default p95=10% or 1ms)")
	f.DurationVar(&p.settle, "settle", 0, "no split verdict before it (default 10s on loopback, 2m elsewhere"+shortened("a quarter"))
	f.DurationVar(&p.minimum, "min-duration", 0, "delays PROMOTE only (default 10s on loopback, 5m elsewhere"+shortened("half"))
	f.DurationVar(&p.maximum, "max-duration", 0, "then INCONCLUSIVE (default 1m on loopback, 15m elsewhere)")
	f.IntVar(&p.warmUp, "warm-up", 20, "hits per version that are not judged")
}

// shortened says what becomes of a default in a short run, as policy does it.
func shortened(part string) string {
	return "; without --policy at most " + part + " of a --max-duration that is given)"
}

func (p *policyFlags) policy(loopback bool) (analyze.Policy, error) {
	policy := analyze.DefaultPolicy(loopback)
	if p.file != "" {
		data, err := os.ReadFile(p.file)
		if err != nil {
			return policy, usagef("--policy: %w", err)
		}
		if policy, err = analyze.ReadPolicy(p.file, data, policy); err != nil {
			return policy, usage(err)
		}
	}
	var bad error
	given := func(name string, use func() error) {
		if p.set.Changed(name) && bad == nil {
			if err := use(); err != nil {
				bad = usagef("--%s: %w", name, err)
			}
		}
	}
	given("alpha", func() error { policy.Alpha = p.alpha; return nil })
	given("beta", func() error { policy.Beta = p.beta; return nil })
	given("split-margin", func() error {
		if !(p.splitMargin > 0) {
			return fmt.Errorf("want more than 0 points, got %v", p.splitMargin)
		}
		policy.Split.Margin = p.splitMargin
		return nil
	})
	given("errors-max", func() error { return policy.Errors.Max.UnmarshalText([]byte(p.errorMax)) })
	given("errors-margin", func() error { policy.Errors.Margin = p.errorMargin; return nil })
	given("settle", func() error { policy.Settle = analyze.Duration(p.settle); return nil })
	given("min-duration", func() error { policy.MinDuration = analyze.Duration(p.minimum); return nil })
	given("max-duration", func() error { policy.MaxDuration = analyze.Duration(p.maximum); return nil })
	given("warm-up", func() error { policy.WarmUp = p.warmUp; return nil })
	given("latency-max", func() error { return quantiles(&policy.Latency.Max, p.latencyMax) })
	given("latency-margin", func() error { return quantiles(&policy.Latency.Margin, p.latencyMore) })
	if bad == nil && p.set.Changed("max-duration") { // a short run needs shorter waits, unless they were asked for
		if !p.set.Changed("min-duration") && p.file == "" {
			policy.MinDuration = min(policy.MinDuration, policy.MaxDuration/2)
		}
		if !p.set.Changed("settle") && p.file == "" {
			policy.Settle = min(policy.Settle, policy.MaxDuration/4)
		}
	}
	return policy, bad
}

// quantiles reads "p95=VALUE" entries; a lone "none" leaves none.
func quantiles[V any, T interface {
	*V
	UnmarshalText([]byte) error
}](into *map[analyze.Quantile]V, entries []string) error {
	*into = map[analyze.Quantile]V{}
	for _, entry := range entries {
		if entry == "none" && len(entries) == 1 {
			return nil
		}
		name, value, ok := strings.Cut(entry, "=")
		if !ok {
			return fmt.Errorf("want a quantile and a value like p99=250ms, got %q", entry)
		}
		var q analyze.Quantile
		var v V
		if err := q.UnmarshalText([]byte(name)); err != nil {
			return err
		}
		if err := T(&v).UnmarshalText([]byte(value)); err != nil {
			return err
		}
		(*into)[q] = v
	}
	return nil
}
