package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"coalmine/scenarios"
)

func (w world) gateCommand() *cobra.Command {
	var (
		t                    target
		p                    policyFlags
		o                    output
		g                    scenarios.Gate
		promote, rollback    bool
		journal, inconcluded string
		then                 string
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
			if then != "" {
				if err := g.Then.UnmarshalText([]byte(then)); err != nil {
					return usagef("--then: %w", err)
				}
			}
			if (g.Bake > 0 || then != "") && !promote {
				return usagef("--bake and --then go with --promote: nothing is changed without it")
			}
			var where string
			if g.Client, g.Ref, where, err = w.locate(ctx, &t); err != nil {
				return err
			}
			if g.Client != nil {
				fmt.Fprintln(w.stderr, where)
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
			_, err = w.tell(ctx, ready, &o, nil)
			return mapped(err)
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
	f.DurationVar(&g.Bake, "bake", 0, "before the promote, the canary at 100 % for so long, judged (default none)")
	f.StringVar(&then, "then", "", "after a promote that traffic confirmed: leave, or repoint the stage's own alias to the tested version; must be said on AWS")
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
