package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"coalmine/analyze"
	"coalmine/report"
)

func (w world) reportCommand() *cobra.Command {
	var policy, history string
	var shown reports
	var schema bool
	var log accessLog
	c := &cobra.Command{
		Use:   "report FILE [FILE]",
		Short: "Show a run again from its run file, judge it by another policy, or set two runs side by side",
		Long: `Show a run again from its run file, or two runs side by side: arm by arm, and what
differs beyond noise; of two searches for a capacity, what is proven of each. With
--history DIR, all runs of a directory in order of time.

With --policy the recorded windows are judged
anew, look by look: the verdict that policy would have given, and its exit code.

With --access-log, answers of a run with --request-ids that named no version are
looked up in the stage's access log, which says whether the canary gave them, and
the run is judged anew with each counted for its version; the exit code is that
verdict's. The log comes minutes late; what it lacks stays without a version.`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case schema:
			case history != "" && len(args) > 0:
				return fmt.Errorf("--history: want no run file beside it, got %d", len(args))
			case history == "" && len(args) != 1 && len(args) != 2:
				return fmt.Errorf("want one run file, or two to compare, got %d", len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if schema {
				return report.Schema(w.stdout)
			}
			if err := log.check(); err != nil {
				return err
			}
			if err := errors.Join(shown.check(), spare([]flagged{{"--policy", policy}}, []flagged{{"--out", log.out}})); err != nil {
				return err
			}
			if len(args) != 1 {
				if policy != "" || log.group != "" || shown.dir != "" {
					return usagef("--policy, --access-log and --out-dir are about one run file")
				}
				if history != "" {
					return w.history(history, shown.first())
				}
				return w.compare(args[0], args[1], shown.first())
			}
			if search, err := w.reshow(args[0], &shown, flagged{"--policy", policy}, flagged{"--access-log", log.group}); search || err != nil {
				return err
			}
			file, err := os.Open(args[0])
			if err != nil {
				return usage(err)
			}
			defer file.Close()
			var another func(analyze.Header) (analyze.Policy, error)
			if policy != "" {
				another = func(h analyze.Header) (analyze.Policy, error) {
					data, err := os.ReadFile(policy)
					if err != nil {
						return analyze.Policy{}, fmt.Errorf("--policy: %w", err)
					}
					return analyze.ReadPolicy(policy, data, analyze.DefaultPolicy(loopback(h.Target.URL)))
				}
			}
			var analysis analyze.Analysis
			if log.group != "" {
				analysis, err = log.rejudge(c.Context(), w, file, another)
			} else {
				analysis, _, err = analyze.Rejudge(file, another)
				err = usage(err)
			}
			if log.group == "" && errors.As(err, new(analyze.Unreadable)) { // every format says what is missing, and shows the rest
				err = usage(errors.Join(err, shown.show(w, judged{analysis})))
			}
			if err != nil {
				return exit{code(c.Context(), err), fmt.Errorf("%s: %w", args[0], err)}
			}
			if err := shown.show(w, judged{analysis}); err != nil {
				return err
			}
			if analysis.Header.Policy != nil {
				fmt.Fprintln(w.stderr, report.Line(analysis))
			}
			judged := policy != "" || log.group != "" && analysis.Header.Policy != nil
			if code := conclusionCode(analysis.Conclusion); judged && code != exitPromote {
				return exit{code: code}
			}
			return nil
		},
	}
	shown.flags(c.Flags())
	c.Flags().BoolVar(&schema, "schema", false, "print the JSON Schema of --format json, and of the lines of a run file, and nothing else")
	c.Flags().StringVar(&history, "history", "", "`DIR` whose run files are shown in order of time: split, errors and latency of each (table, json or html)")
	log.flags(c.Flags())
	c.Flags().StringVar(&policy, "policy", "", "judge the recorded windows by this policy file; the exit code is the new verdict's")
	return c
}
