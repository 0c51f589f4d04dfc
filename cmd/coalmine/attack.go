package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	vegeta "github.com/tsenart/vegeta/v12/lib"

	"coalmine/analyze"
	"coalmine/attack"
	"coalmine/scenarios"
)

func (w world) attackCommand() *cobra.Command {
	var (
		t        target
		o        output
		p        pace
		duration time.Duration
	)
	c := &cobra.Command{
		Use:   "attack",
		Short: "Send traffic and show who answered, without judging",
		Long: `Send traffic and show who answered, without judging. One request is sent before the load, and if nobody answers it two
more: if nobody answers these the load is not sent.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := errors.Join(t.check(w), o.check(), spare(t.reads(), o.writes(&t.requests))); err != nil {
				return err
			}
			if duration <= 0 {
				return usagef("--duration: want more than 0, got %s", duration)
			}
			return w.attack(c.Context(), &t, &p, &o, duration)
		},
	}
	t.flags(c.Flags(), `requests per time, like 500/s, or "max" for as fast as --connections allow (default 100/s)`)
	p.flags(c.Flags())
	o.flags(c.Flags())
	c.Flags().DurationVar(&duration, "duration", 10*time.Second, "how long to send")
	return c
}

func (w world) attack(ctx context.Context, t *target, p *pace, o *output, duration time.Duration) error {
	if w.env("GOGC") == "" { // a load makes next to no garbage: to collect it sooner costs next to nothing, and less is held
		defer debug.SetGCPercent(debug.SetGCPercent(40))
	}
	_, ref, where, err := w.locate(ctx, t)
	if err != nil {
		return err
	}
	o.also = func() error { return t.done(w) }
	defer o.also()
	plan, err := t.attackPlan(ctx, w)
	if err != nil {
		return err
	}
	if err := p.apply(&plan, t); err != nil {
		return err
	}
	plan.Phase, plan.Duration = analyze.Attack, duration
	if err := reach(ctx, plan); err != nil {
		return err
	}
	fmt.Fprintln(w.stderr, where)
	warmUp(ctx, plan, p.warmup)
	if plan.Allowed() == 0 {
		return usagef("--max-requests: all %d were sent before the first that counts, to see who answers and to warm up: want more", t.maxRequests)
	}
	h := analyze.Header{
		Format: analyze.Format, Tool: "coalmine/" + version, Command: "attack", Started: time.Now(),
		Target: analyze.Target{Where: where, API: ref.API, Stage: ref.Stage, Method: t.method, URL: scenarios.Bare(t.url),
			Classify: strings.Join(t.classify, " ")},
		Plan: analyze.Plan{Rate: plan.PeakRate(), Connections: t.connections, Timeout: t.timeout, RequestIDs: plan.RequestIDs,
			Targets: scenarios.LoadTargets(plan)},
	}
	if err := o.open(w, h.Command, h.Started); err != nil {
		return err
	}
	if err := t.logHits(&plan); err != nil {
		return err
	}
	recorder, err := scenarios.NewRecorder(h, analyze.NewWriter(o.file))
	if err != nil {
		return err
	}
	shown := newProgress(w, o)
	recorder.Watch = o.beside(shown.watch)
	recorder.Traffic(ctx, plan, nil)
	shown.end()
	end := analyze.End{Reason: "budget"}
	if ctx.Err() != nil {
		end.Reason = "interrupted"
	}
	analysis, err := recorder.Finish(end)
	if lost := o.close(ctx, w, judged{analysis}); err == nil {
		err = lost
	}
	if err == nil && ctx.Err() != nil {
		err = exit{code: exitInterrupted}
	}
	return err
}

// reach asks whether anybody answers: once, and if not twice more, at a time. Of a target that breaks some connections one
// answer is enough.
func reach(ctx context.Context, plan attack.Plan) error {
	sample, err := attack.Probe(ctx, plan, 1)
	asked := len(sample.Answers)
	if err == nil || asked == 0 || plan.Allowed() == 0 {
		return err
	}
	sample, err = attack.Probe(ctx, plan, 2)
	if asked += len(sample.Answers); err != nil && asked > 1 {
		err = fmt.Errorf("%w, asked %d times", err, asked)
	}
	return err
}

// warmUp sends as planned, and forgets it.
func warmUp(ctx context.Context, plan attack.Plan, duration time.Duration) {
	if plan.Duration = duration; duration > 0 {
		for range attack.Run(ctx, plan) {
		}
	}
}

// attackPlan is the load as its flags say; rate max, which is a rate of 0, on loopback only.
func (t *target) attackPlan(ctx context.Context, w world) (plan attack.Plan, err error) {
	var rate vegeta.Rate
	if t.rate != "max" {
		if rate, err = t.rateFor(t.url, 100, 100); err != nil {
			return plan, err
		}
	} else if !t.stays(t.url) {
		return plan, usagef("--rate max: only on loopback; elsewhere want a rate")
	}
	var classify attack.Classifier
	if slices.Contains(t.classify, "learn") {
		return plan, usagef("--classify: attack cannot learn: it knows of no versions; want header:NAME, json:POINTER or body:REGEX")
	}
	if len(t.classify) > 0 {
		if classify, err = attack.ParseClassifier(t.classify); err != nil {
			return plan, usagef("--classify: %w", err)
		}
	}
	return t.plan(ctx, w, t.url, rate, classify, unique())
}
