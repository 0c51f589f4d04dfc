package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"coalmine/scenarios"
)

func (w world) verifyCommand() *cobra.Command {
	var (
		t target
		p policyFlags
		o output
		v scenarios.Verify
	)
	c := &cobra.Command{
		Use:   "verify",
		Short: "Ask who answers now: the phase after a promote alone",
		Long: `Ask a stage (--api, --stage, --path) or any URL until it is certain that one
version alone answers, within its bounds on errors and latency: for a pipeline in
which something else promotes. Nothing is changed.

The last line begins with "coalmine: VERIFIED", "coalmine: REFUTED" or
"coalmine: INCONCLUSIVE". Exit codes: 0 VERIFIED, 10 REFUTED, 11 not enough evidence,
12 the measurement is void, 1 and 2 as everywhere, 130 interrupted.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			if err := errors.Join(t.check(w), o.check(), spare(append(t.reads(), flagged{"--policy", p.file}), o.writes(&t.requests))); err != nil {
				return err
			}
			if !t.controlled() && v.Expect == "" {
				return usagef("--url: want --expect, too: nobody else knows the version that must answer")
			}
			var where string
			var err error
			if v.Client, v.Ref, where, err = w.locate(ctx, &t); err != nil {
				return err
			}
			if v.Client != nil {
				fmt.Fprintln(w.stderr, where)
			}
			if t.api != "" && t.path == "" { // the URL's, behind its base path
				if err := follow(ctx, v.Client, t.url, &v.Ref); err != nil {
					return err
				}
			}
			o.also = func() error { return t.done(w) }
			defer o.also()
			rate, err := t.rateFor(t.url, 100, 1000)
			if err != nil {
				return err
			}
			if v.Policy, err = p.policy(t.stays(t.url)); err != nil {
				return err
			}
			if v.Plan, err = t.plan(ctx, w, t.url, rate, nil, unique()); err != nil {
				return err
			}
			v.Classify = t.classify
			ready, err := v.Prepare(ctx, where, "coalmine/"+version)
			if err != nil {
				return err
			}
			if err := t.logHits(&ready.Story.Plan); err != nil {
				return err
			}
			_, err = w.tell(ctx, ready, &o, nil)
			return err
		},
	}
	f := c.Flags()
	t.flags(f, "requests per time, like 500/s (default 100/s, 1000/s on loopback)")
	f.Lookup("classify").Usage += ", or learn (default)"
	p.alone(f)
	o.flags(f)
	f.StringVar(&v.Expect, "expect", "", "`VERSION` that must answer alone, as the answers spell it (default with --api: the one behind the stage's alias)")
	f.StringVar(&v.Absent, "absent", "", "`VERSION` that may still answer until --settle, and not after it (default none may)")
	return c
}
