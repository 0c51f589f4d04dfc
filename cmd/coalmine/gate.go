package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"coalmine/analyze"
	"coalmine/report"
	"coalmine/scenarios"
	"coalmine/scenarios/stage"
)

// gate is the judging of a live canary, as the command line asks for it.
type gate struct {
	scenarios.Gate
	target                 target
	policy                 policyFlags
	output                 output
	promote, rollback, dry bool
	inconclusive           string
	journal                string
	warrant                string
	holds                  time.Duration
}

func (w world) gateCommand() *cobra.Command {
	var g gate
	c := &cobra.Command{
		Use:   "gate",
		Short: "Judge a canary that is already live",
		Long: `Judge the canary on an API Gateway stage (--api, --stage, --path; everything else
is read from AWS), the weights of a Lambda alias (--lambda-alias, --url), or any
mixed URL (--url, --baseline, --canary, --percent). Nothing is changed unless
--promote or --rollback says so; --dry-run shows what is known before the load,
and stops there.

` + exitHelp(),
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return g.run(c.Context(), w, c.Flags()) },
	}
	f := c.Flags()
	g.target.flags(f, "requests per time, like 500/s (default 100/s, 1000/s on loopback)")
	f.Lookup("classify").Usage += ", or learn (default with --api)"
	f.StringVar(&g.target.lambdaAlias, "lambda-alias", "", "`FUNCTION:ALIAS` whose weights split the traffic of --url, instead of --api")
	g.policy.flags(f)
	g.output.flags(f)
	f.StringVar(&g.Baseline, "baseline", "", "version that serves now, as the answers spell it")
	f.StringVar(&g.Canary, "canary", "", "version under test, as the answers spell it")
	f.Float64Var(&g.Percent, "percent", 0, "of the traffic that goes to the canary, for --url")
	f.BoolVar(&g.dry, "dry-run", false, "send the probe only, show what is known and what the gate would need, and stop")
	f.BoolVar(&g.promote, "promote", false, "promote the canary on PROMOTE")
	f.BoolVar(&g.rollback, "rollback", false, "remove the canary on REJECT")
	f.BoolVar(&g.Keep, "keep-canary", false, "after a promote leave the canary settings at 0 %; AWS then refuses plain deployments to the stage")
	f.Var(thenFlag{&g.Then}, "then", "after a promote leave, or repoint the stage's own alias to the tested version; must be said on AWS")
	f.DurationVar(&g.Bake, "bake", 0, "before a promote send the canary all of the traffic for so long, and judge that, too")
	f.StringVar(&g.warrant, "verdict-out", "", "`FILE` for the verdict, for canary promote --verdict")
	f.DurationVar(&g.holds, "verdict-expires", 30*time.Minute, "how long the verdict of --verdict-out may be acted on")
	f.StringVar(&g.journal, "journal", "", "directory of the journal (default $XDG_STATE_HOME/coalmine/journal)")
	f.StringVar(&g.inconclusive, "on-inconclusive", "", "pass or fail: what exit code 11 becomes (0 or 10); never 12")
	return c
}

func (g *gate) run(ctx context.Context, w world, set *pflag.FlagSet) error {
	mapped, err := mapInconclusive(g.inconclusive)
	if err := errors.Join(g.target.check(w), g.output.check(), err, g.check(set), g.spare()); err != nil {
		return err
	}
	var where string
	if g.Client, g.Ref, where, err = w.locate(ctx, &g.target); err != nil {
		return err
	}
	g.output.also = func() error { return g.target.done(w) }
	defer g.output.also()
	if err := g.configure(ctx, w); err != nil {
		return err
	}
	if g.Client != nil {
		fmt.Fprintln(w.stderr, where)
	}
	var journal *stage.Journal // first: what an interrupted run left is not what is to be judged
	var left *report.Finding
	if g.dry && g.Client != nil {
		if left, err = g.unfinished(w.journalDir(g.journal)); err != nil {
			return err
		}
	} else if g.promote || g.rollback {
		if journal, err = g.Client.OpenJournal(w.journalDir(g.journal), g.Ref); err != nil {
			return err
		}
		defer journal.Close()
	}
	ready, err := g.Prepare(ctx, where, "coalmine/"+version)
	if g.dry {
		return g.preview(w, ready, left, err)
	}
	if err != nil {
		return err
	}
	if ready.Story.Control != nil {
		ready.Story.Control.Journal = journal
	}
	if g.warrant != "" {
		if err := scenarios.ClearWarrant(g.warrant); err != nil {
			return usage(err)
		}
		g.output.issue = func(a analyze.Analysis) error { return g.issue(ready.Story.Control, a) }
	}
	if err := g.target.logHits(&ready.Story.Plan); err != nil {
		return err
	}
	_, err = w.tell(ctx, ready, &g.output, nil)
	return mapped(err)
}

// spare refuses outputs that are inputs, or each other.
func (g *gate) spare() error {
	reads := append(g.target.reads(), flagged{"--policy", g.policy.file})
	return spare(reads, append(g.output.writes(&g.target.requests), flagged{"--verdict-out", g.warrant}))
}

// check is what can be said of a gate without asking anybody: the control plane knows its canary, nobody that of a URL.
func (g *gate) check(f *pflag.FlagSet) error {
	acts := g.promote || g.rollback
	switch {
	case g.dry && g.output.dir != "":
		return usagef("--dry-run has one report, on standard output: --out-dir is about a run's")
	case g.Then != "" && !g.promote:
		return usagef("--then is about what follows --promote")
	case g.Bake < 0:
		return usagef("--bake: want a time, like 5m, got %s", g.Bake)
	case (g.Bake > 0 || g.Keep) && !g.promote:
		return usagef("--bake and --keep-canary are about --promote")
	case !(g.holds > 0):
		return usagef("--verdict-expires: want more than 0, got %s", g.holds)
	case f.Changed("verdict-expires") && g.warrant == "":
		return usagef("--verdict-expires is about --verdict-out FILE")
	case g.target.controlled() && f.Changed("percent"):
		return usagef("--percent is read from AWS with --api and --lambda-alias")
	case g.target.controlled():
		return nil
	case f.Changed("journal"):
		return usagef("--journal is about --api or --lambda-alias: nothing is changed for a --url alone")
	case g.Baseline == "" || g.Canary == "" || !f.Changed("percent"):
		return usagef("--url: want --baseline, --canary and --percent, too: nobody else knows them")
	case !(g.Percent > 0 && g.Percent < 100):
		return usagef("--percent: want more than 0 and less than 100, got %v", g.Percent)
	case len(g.target.classify) == 0:
		return usagef("--url: want --classify, too: header:NAME, json:POINTER, body:REGEX or learn")
	case acts || g.warrant != "":
		return usagef("--promote, --rollback and --verdict-out need --api or --lambda-alias: a URL has no control plane")
	}
	return nil
}

// configure completes the gate with what depends on where the load goes.
func (g *gate) configure(ctx context.Context, w world) error {
	rate, err := g.target.rateFor(g.target.url, 100, 1000)
	if err != nil {
		return err
	}
	if g.Policy, err = g.policy.policy(g.target.stays(g.target.url)); err != nil {
		return err
	}
	if g.Plan, err = g.target.plan(ctx, w, g.target.url, rate, nil, unique()); err != nil {
		return err
	}
	g.Classify = g.target.classify
	g.Act = scenarios.Act{Promote: scenarios.Hold, Reject: scenarios.Hold, Inconclusive: scenarios.Hold}
	if g.promote {
		g.Act.Promote = scenarios.Promote
	}
	if g.rollback {
		g.Act.Reject = scenarios.Rollback
	}
	return nil
}

// issue writes the verdict file of a story that could be told.
func (g *gate) issue(control *scenarios.Control, a analyze.Analysis) error {
	now := time.Now().UTC().Truncate(time.Second)
	return scenarios.WriteWarrant(g.warrant, scenarios.Warrant{
		Tool: "coalmine/" + version, Verdict: a.Conclusion.Verdict, Sentence: report.Line(a),
		Judged: now, Expires: now.Add(g.holds), RunFile: g.output.path, Measured: control.Live,
	})
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
