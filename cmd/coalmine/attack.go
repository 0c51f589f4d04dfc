package main

import (
	"errors"
	"fmt"
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
		duration time.Duration
	)
	c := &cobra.Command{
		Use:   "attack",
		Short: "Send traffic and show who answered, without judging",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			if err := errors.Join(t.check(), o.check()); err != nil {
				return err
			}
			if duration <= 0 {
				return usagef("--duration: want more than 0, got %s", duration)
			}
			where := whereURL(t.url)
			h := analyze.Header{Format: analyze.Format, Tool: "coalmine/" + version, Command: "attack"}
			if t.api != "" {
				client, err := w.connect(ctx, t.region, t.profile)
				if err != nil {
					return err
				}
				ref, err := t.ref(ctx, client)
				if err != nil {
					return err
				}
				t.url, where = client.InvokeURL(ref), client.Where(ref.API, ref.Stage)
				h.Target.API, h.Target.Stage = ref.API, ref.Stage
			}
			var rate vegeta.Rate
			if t.rate != "max" {
				var err error
				if rate, err = t.rateFor(t.url, 100, 100); err != nil {
					return err
				}
			} else if !loopback(t.url) {
				return usagef("--rate max: only on loopback; elsewhere want a rate")
			}
			var classify attack.Classifier
			if len(t.classify) > 0 {
				var err error
				if slices.Contains(t.classify, "learn") {
					return usagef("--classify: attack cannot learn: it knows of no versions; want header:NAME, json:POINTER or body:REGEX")
				}
				if classify, err = attack.ParseClassifier(t.classify); err != nil {
					return usagef("--classify: %w", err)
				}
			}
			plan, err := t.plan(t.url, rate, classify, unique())
			if err != nil {
				return err
			}
			plan.Phase, plan.Duration = analyze.Attack, duration
			if _, err := attack.Probe(ctx, plan, 1); err != nil {
				return err
			}
			fmt.Fprintln(w.stderr, where)
			h.Started = time.Now()
			h.Target.Where, h.Target.Method, h.Target.URL = where, t.method, scenarios.Bare(t.url)
			h.Target.Classify = strings.Join(t.classify, " ")
			h.Plan = analyze.Plan{Rate: attack.PerSecond(rate), Connections: t.connections, Timeout: t.timeout}
			if err := o.open(w, h.Command, h.Started); err != nil {
				return err
			}
			recorder, err := scenarios.NewRecorder(h, analyze.NewWriter(o.file))
			if err != nil {
				return err
			}
			shown := newProgress(w, o.quiet)
			recorder.Watch = shown.watch
			recorder.Traffic(ctx, plan, nil)
			shown.end()
			end := analyze.End{Reason: "budget"}
			if ctx.Err() != nil {
				end.Reason = "interrupted"
			}
			analysis, err := recorder.Finish(end)
			if lost := o.close(w, analysis); err == nil {
				err = lost
			}
			if err == nil && ctx.Err() != nil {
				err = exit{code: exitInterrupted}
			}
			return err
		},
	}
	t.flags(c.Flags(), `requests per time, like 500/s, or "max" for as fast as --connections allow (default 100/s)`)
	o.flags(c.Flags())
	c.Flags().DurationVar(&duration, "duration", 10*time.Second, "how long to send")
	return c
}
