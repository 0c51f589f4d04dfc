package main

import (
	"time"

	"github.com/spf13/pflag"
	vegeta "github.com/tsenart/vegeta/v12/lib"

	"coalmine/attack"
)

// pace says when an attack's requests are due, beyond --rate, and who sends them.
type pace struct {
	pacer  string
	warmup time.Duration
	engine string
}

func (p *pace) flags(f *pflag.FlagSet) {
	f.StringVar(&p.pacer, "pacer", "", "in place of --rate, how it goes over time: ramp:100/s:500/s:60s, steps:100/s:30s,200/s:30s,\nsine:100/s:50/s:60s, or poisson: before any of these or a rate")
	f.DurationVar(&p.warmup, "warmup", 0, "send so long before anything is counted")
	f.StringVar(&p.engine, "engine", "", "\"vegeta\": send by vegeta's attacker in place of coalmine's, to compare")
}

// apply puts it into a plan that has a rate.
func (p *pace) apply(plan *attack.Plan, t *target) error {
	plan.Engine = p.engine
	if p.warmup < 0 {
		return usagef("--warmup: want 0 or more, got %s", p.warmup)
	}
	if !t.given("pacer") {
		return usage(plan.Validate())
	}
	if t.rate != "" {
		return usagef("--rate and --pacer: want one of them")
	}
	pacer, err := attack.ParsePacer(p.pacer)
	if err != nil {
		return usagef("--pacer: %w", err)
	}
	if x := pacer.Peak(); x > t.maxRate && !t.stays(t.url) {
		return usagef("--pacer: %v/s at its peak is above --max-rate %v/s, the limit off loopback", x, t.maxRate)
	}
	plan.Rate, plan.Pacer = vegeta.Rate{}, pacer
	return usage(plan.Validate())
}
