package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"coalmine/analyze"
	"coalmine/scenarios"
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

func (p *policyFlags) flags(f *pflag.FlagSet) {
	p.set = f
	f.StringVar(&p.file, "policy", "", "policy file, YAML")
	f.Float64Var(&p.alpha, "alpha", 0.01, "probability of a wrong promote")
	f.Float64Var(&p.beta, "beta", 0.05, "probability of a wrong reject")
	f.Float64Var(&p.splitMargin, "split-margin", 0, "points either side of the configured percentage (default min(3, 0.4 x the smaller share))")
	f.StringVar(&p.errorMax, "errors-max", "1%", "errors of each version")
	f.Float64Var(&p.errorMargin, "errors-margin", 0.5, "points by which the canary's errors may exceed the baseline's")
	f.StringArrayVar(&p.latencyMax, "latency-max", nil, "`BOUND` like p99=250ms, repeatable (default none)")
	f.StringArrayVar(&p.latencyMore, "latency-margin", nil, "`BOUND` of canary against baseline like \"p95=10% or 1ms\", repeatable; \"none\" for no check (default p95=10% or 1ms)")
	f.DurationVar(&p.settle, "settle", 0, "no split verdict before it (default 10s on loopback, 2m elsewhere)")
	f.DurationVar(&p.minimum, "min-duration", 0, "delays PROMOTE only (default 10s on loopback, 5m elsewhere)")
	f.DurationVar(&p.maximum, "max-duration", 0, "then INCONCLUSIVE (default 1m on loopback, 15m elsewhere)")
	f.IntVar(&p.warmUp, "warm-up", 20, "hits per version that are not judged")
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
	given("split-margin", func() error { policy.Split.Margin = p.splitMargin; return nil })
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

func (w world) gateCommand() *cobra.Command {
	var (
		t                    target
		p                    policyFlags
		o                    output
		g                    scenarios.Gate
		promote, rollback    bool
		journal, inconcluded string
	)
	c := &cobra.Command{
		Use:   "gate",
		Short: "Judge a canary that is already live",
		Long: `Judge the canary on an API Gateway stage (--api, --stage, --path; everything else
is read from AWS), or any mixed URL (--url, --baseline, --canary, --percent).
Nothing is changed unless --promote or --rollback says so.

` + exitHelp(),
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			if err := errors.Join(t.check(), o.check()); err != nil {
				return err
			}
			mapped, err := mapInconclusive(inconcluded)
			if err != nil {
				return err
			}
			if err := checkGate(c.Flags(), &t, &g, promote || rollback); err != nil {
				return err
			}
			var where string
			if g.Client, g.Ref, where, err = w.locate(ctx, &t); err != nil {
				return err
			}
			if promote || rollback {
				if err := g.Client.MayChange(); err != nil {
					return usage(err)
				}
			}
			rate, err := t.rateFor(t.url, 100, 1000)
			if err != nil {
				return err
			}
			if g.Policy, err = p.policy(loopback(t.url)); err != nil {
				return err
			}
			if g.Plan, err = t.plan(t.url, rate, nil, unique()); err != nil {
				return err
			}
			g.Classify = t.classify
			g.Act = scenarios.Act{Promote: scenarios.Hold, Reject: scenarios.Hold, Inconclusive: scenarios.Hold}
			if promote {
				g.Act.Promote = scenarios.Promote
			}
			if rollback {
				g.Act.Reject = scenarios.Rollback
			}
			ready, err := g.Prepare(ctx, where, "coalmine/"+version)
			if err != nil {
				return err
			}
			if promote || rollback {
				control := ready.Story.Control
				if control.Journal, err = g.Client.OpenJournal(w.journalDir(journal), control.Ref); err != nil {
					return err
				}
				defer control.Journal.Close()
			}
			return mapped(w.tell(ctx, ready, &o, nil))
		},
	}
	f := c.Flags()
	t.flags(f, "requests per time, like 500/s (default 100/s, 1000/s on loopback)")
	f.Lookup("classify").Usage += ", or learn (default with --api)"
	p.flags(f)
	o.flags(f)
	f.StringVar(&g.Baseline, "baseline", "", "version that serves now, as the answers spell it")
	f.StringVar(&g.Canary, "canary", "", "version under test, as the answers spell it")
	f.Float64Var(&g.Percent, "percent", 0, "of the traffic that goes to the canary, for --url")
	f.BoolVar(&promote, "promote", false, "promote the canary on PROMOTE")
	f.BoolVar(&rollback, "rollback", false, "remove the canary on REJECT")
	f.StringVar(&journal, "journal", "", "directory of the journal (default $XDG_STATE_HOME/coalmine/journal)")
	f.StringVar(&inconcluded, "on-inconclusive", "", "pass or fail: what exit code 11 becomes (0 or 10); never 12")
	return c
}

// checkGate is what can be said of a gate without asking anybody: AWS knows the canary of --api, nobody that of a URL.
func checkGate(f *pflag.FlagSet, t *target, g *scenarios.Gate, acts bool) error {
	switch {
	case t.api != "" && f.Changed("percent"):
		return usagef("--percent is read from AWS with --api")
	case t.api != "":
		return nil
	case g.Baseline == "" || g.Canary == "" || !f.Changed("percent"):
		return usagef("--url: want --baseline, --canary and --percent, too: nobody else knows them")
	case !(g.Percent > 0 && g.Percent < 100):
		return usagef("--percent: want more than 0 and less than 100, got %v", g.Percent)
	case len(t.classify) == 0:
		return usagef("--url: want --classify, too: header:NAME, json:POINTER, body:REGEX or learn")
	case acts:
		return usagef("--promote and --rollback need --api: a URL has no control plane")
	}
	return nil
}

// mapInconclusive turns exit code 11, and no other, into what a pipeline asked for.
func mapInconclusive(to string) (func(error) error, error) {
	codes := map[string]int{"": exitInconclusive, "pass": exitPromote, "fail": exitReject}
	want, ok := codes[to]
	if !ok {
		return nil, usagef("--on-inconclusive: want pass or fail, got %q", to)
	}
	return func(err error) error {
		if e, ok := err.(exit); ok && e.code == exitInconclusive && e.err == nil {
			return exit{code: want}
		}
		return err
	}, nil
}
